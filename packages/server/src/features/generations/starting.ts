import { isOutcomeUnknown, transaction, type Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import * as keys from '../keys/keys.service.ts'
import { type Job as Paid, refuseExceeded, reserve } from '../usage/usage.service.ts'
import { admitToQueue, admitToRun } from './admission.ts'
import {
  beginAgain,
  type Beginning,
  findBegun,
  insertGeneration,
  type NewGeneration,
  restart,
} from './beginning.repo.ts'
import type { GenerationRow } from './generations.repo.ts'
import { type Claim, insertRecord, reopenRecord } from './idempotency.repo.ts'
import { insertKept, type KeptImage } from './kept-images.repo.ts'
import { tell } from './telling.ts'

type StartDeps = Pick<Deps, 'db' | 'settings' | 'leases' | 'queue' | 'crowding'>

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
  /** UUID of the run that begins with it; undefined: it waits for a worker. */
  readonly run: string | undefined
  /** Whether another process finishes it if this one dies. */
  readonly detached: boolean
  /** Copies of its images, for another process. */
  readonly kept: readonly KeptImage[]
}

/**
 * Writes a generation that runs here or waits in the queue. From then on it is found by its id,
 * whatever becomes of the process.
 */
export async function start(
  deps: StartDeps,
  principal: Principal,
  what: Start,
): Promise<GenerationRow> {
  const { generationId: id, attempt } = what.job
  // With a claim it may be a repeat, which is answered whatever the budget.
  if (what.claim === undefined) await refuseExceeded(deps, what.job, what.estimate)
  try {
    return await write(deps, principal, what)
  } catch (error) {
    // A commit whose answer was lost shows as a row that has begun.
    if (!isOutcomeUnknown(error)) throw error
    const begun = await findBegun(deps.db, { id, attempt, owner: what.run })
    if (begun === undefined) throw error
    return begun
  }
}

/** One transaction: the claim of the key of idempotency, the reservation, the row and its place. */
const write = (deps: StartDeps, principal: Principal, what: Start): Promise<GenerationRow> =>
  transaction(deps.db, async (tx) => {
    const { id } = what.row
    // First, in the order in which a deletion locks.
    if (!(await auth.hold(tx, principal.userId))) throw gone(principal)
    await claim(tx, what)
    await images.refuseFull(tx, deps, principal.userId)
    await admit(tx, deps, principal, what)
    const reservation = await reserve(tx, deps, what.job, what.estimate)
    const lease =
      what.run === undefined ? undefined : { owner: what.run, seconds: deps.leases.seconds }
    const beginning: Beginning = { lease, detached: what.detached, reservation }
    const row =
      what.failed === undefined
        ? await insertGeneration(tx, what.row, beginning)
        : await beginAgain(tx, what.row, beginning)
    await insertKept(tx, id, what.kept)
    if (lease === undefined) await deps.queue.enqueue(tx, id, { priority: -(row.queue_tag ?? 0) })
    await tell(tx, row, [{ type: lease === undefined ? 'queued' : 'running' }])
    return row
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

/** Refuses a key that has ended, and what there is no place for. */
async function admit(
  tx: Tx,
  deps: Pick<Deps, 'settings' | 'crowding'>,
  principal: Principal,
  { row, run }: Start,
): Promise<void> {
  if (principal.kind === 'key' && !(await keys.lock(tx, principal.keyId))) throw gone(principal)
  if (run === undefined) await admitToQueue(tx, deps, principal.userId)
  else await admitToRun(tx, deps, principal, row.id)
}
