import { isOutcomeUnknown, transaction, type Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import * as keys from '../keys/keys.service.ts'
import { type Job as Paid, refuseExceeded, reserve } from '../usage/usage.service.ts'
import {
  countUnfinished,
  type GenerationRow,
  insertRunning,
  isRunning,
  type NewGeneration,
  restart,
  setRunning,
} from './generations.repo.ts'
import { type Claim, insertRecord, reopenRecord } from './idempotency.repo.ts'

type StartDeps = Pick<Deps, 'db' | 'settings' | 'leases'>

/** Another request with the same key of idempotency was quicker. */
export class ClaimedMeanwhile extends Error {
  override readonly name = 'ClaimedMeanwhile'
}

/** What is to be started: a new row, or one more attempt of a failed one. */
export interface Start {
  readonly row: NewGeneration
  readonly failed: Pick<GenerationRow, 'id' | 'attempt'> | undefined
  readonly claim: Claim | undefined
  readonly job: Paid
  /** Micro-dollars to set aside. */
  readonly estimate: number
}

/**
 * Sets a generation running in this process's name. From then on it is found by its id, whatever
 * becomes of the process.
 */
export async function start(deps: StartDeps, principal: Principal, what: Start): Promise<void> {
  const { generationId: id, attempt } = what.job
  // With a claim it may be a repeat, which is answered whatever the budget.
  if (what.claim === undefined) await refuseExceeded(deps, what.job, what.estimate)
  try {
    await write(deps, principal, what)
  } catch (error) {
    // A commit whose answer was lost shows as a row that runs in our name.
    if (!isOutcomeUnknown(error)) throw error
    if (!(await isRunning(deps.db, { id, attempt, owner: deps.leases.owner }))) throw error
  }
  deps.leases.held.set(id, attempt)
}

/** One transaction: the claim of the key of idempotency, the reservation and the running row. */
const write = (deps: StartDeps, principal: Principal, what: Start): Promise<void> =>
  transaction(deps.db, async (tx) => {
    const { leases } = deps
    // First, in the order in which a deletion locks.
    if (!(await auth.hold(tx, principal.userId))) throw gone(principal)
    await claim(tx, what)
    await admit(tx, deps, principal, what.row.id)
    const reservation = await reserve(tx, deps, what.job, what.estimate)
    if (what.failed === undefined) await insertRunning(tx, what.row, { leases, reservation })
    else await setRunning(tx, what.row, { leases, reservation })
  })

const gone = (principal: Principal): AppError =>
  new AppError(principal.kind === 'key' ? 'invalid_api_key' : 'invalid_token')

async function claim(tx: Tx, { row, failed, claim: claimed }: Start): Promise<void> {
  if (claimed === undefined) return
  const won =
    failed === undefined
      ? await insertRecord(tx, claimed, row.id)
      : // The generation before its record, as when it ends.
        (await restart(tx, failed)) && (await reopenRecord(tx, claimed, failed.id))
  if (!won) throw new ClaimedMeanwhile()
}

/** Refuses a key that has ended, or that has as many generations running as it may. */
async function admit(
  tx: Tx,
  { settings }: Pick<Deps, 'settings'>,
  principal: Principal,
  id: string,
): Promise<void> {
  if (principal.kind !== 'key') return
  if (!(await keys.lock(tx, principal.keyId))) throw gone(principal)
  const limit = principal.maxConcurrency ?? settings.keyConcurrency
  if ((await countUnfinished(tx, principal.keyId, id)) < limit) return
  throw new AppError(
    'concurrency_limited',
    `The API key may have ${limit} generations running at the same time.`,
    { retryAfterSeconds: 1 },
  )
}
