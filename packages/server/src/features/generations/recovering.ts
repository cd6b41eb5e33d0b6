import { transaction } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { abandon, storedOf } from './ending.ts'
import {
  type Abandoned,
  type AbandonedRun,
  listAbandoned,
  type Run,
  setQueued,
} from './runs.repo.ts'
import { retryAbandoned } from './spool.repo.ts'
import { putBack } from './taking.ts'
import { tell } from './telling.ts'

type RecoverDeps = Pick<Deps, 'db' | 'queue' | 'leases' | 'log' | 'metrics'>

/** Before a run that a process has left is begun again. */
const AGAIN_SECONDS = 1
/** What has ended so many processes would end the next. */
const MAX_RUNS = 5

/**
 * Deals with generations whose process died: whoever was told to come back finds them finished by
 * another process, the others fail, for their callers know no more than that the connection broke.
 * Where the pictures are made and wait for their store, whoever drains the spool ends it.
 * `all`: no other process can be running one, as on an embedded database that was just opened.
 */
export async function recoverAbandoned(deps: RecoverDeps, options: Abandoned): Promise<number> {
  // One that cannot be recovered must not stop the others.
  const beside = new Set<string>()
  let recovered = 0
  for (;;) {
    const runs = await listAbandoned(deps.db, { ...options, beside: [...beside] })
    if (runs.length === 0) return recovered
    for (const run of runs) {
      beside.add(run.id)
      try {
        if (await recover(deps, run, options)) recovered++
      } catch (cause) {
        deps.log.error({ err: cause, generation: run.id }, 'a generation could not be recovered')
      }
    }
  }
}

async function recover(deps: RecoverDeps, run: AbandonedRun, { all }: Abandoned): Promise<boolean> {
  if (await retryAbandoned(deps.db, run, { all, seconds: deps.leases.seconds })) return true
  return run.detached && run.runs < MAX_RUNS
    ? requeue(deps, run, { all, called: true })
    : abandon(deps, run, storedOf(stopped()), { all })
}

const stopped = (): AppError =>
  new AppError('unavailable', 'The service was stopped while it ran; nothing was charged.')

/** Sends a generation back to the queue, unless its run has ended or renewed its lease after all. */
export const requeue = (
  deps: Pick<Deps, 'db' | 'queue'>,
  run: Run,
  options: Abandoned & { called: boolean },
): Promise<boolean> =>
  transaction(deps.db, async (tx) => {
    const row = await setQueued(tx, run, options)
    if (row === undefined) return false
    await putBack(tx, deps, row, AGAIN_SECONDS)
    await tell(tx, row, [{ type: 'queued' }])
    return true
  })
