import { renew } from '../features/generations/generations.service.ts'
import { recoverAbandoned } from '../features/generations/recovering.ts'
import type { Deps } from '../kernel/deps.ts'

const RECOVERY_INTERVAL_MS = 3000

/** Looks for generations of dead processes, on a database that others share. */
export function recoverRegularly(
  deps: Pick<Deps, 'db' | 'queue' | 'leases' | 'log' | 'metrics'>,
): NodeJS.Timeout {
  const recover = () =>
    recoverAbandoned(deps, { all: false }).catch((error: unknown) =>
      deps.log.error({ err: error }, 'recovery of abandoned generations failed'),
    )
  return setInterval(recover, RECOVERY_INTERVAL_MS).unref()
}

/** Three times a lease: one lost statement does not end it. */
export function renewRegularly(deps: Pick<Deps, 'leaseDb' | 'leases' | 'log'>): NodeJS.Timeout {
  const renewAll = () =>
    renew(deps).catch((error: unknown) =>
      deps.log.error({ err: error }, 'the leases of running generations were not renewed'),
    )
  return setInterval(renewAll, (deps.leases.seconds * 1000) / 3).unref()
}
