import type { Deps, HeldRun } from '../../kernel/deps.ts'
import * as images from '../images/images.service.ts'
import { type Ending, endSurely } from './ending.ts'
import { findStatus } from './generations.repo.ts'
import type { Result } from './result.ts'
import { newRun } from './running.ts'
import {
  type ClaimedRow,
  claimSpooled,
  endSpooled,
  listSpooledImages,
  markStored,
  readSpooled,
  renewWaiting,
  retryLater,
} from './spool.repo.ts'

type ClaimDeps = Pick<Deps, 'db' | 'leases'>
export type DrainDeps = ClaimDeps &
  Pick<Deps, 'urgentDb' | 'objectStore' | 'settings' | 'log' | 'metrics'>

/** A generation whose pictures this process tries to store. */
export interface ClaimedSpooled {
  readonly row: ClaimedRow
  readonly run: HeldRun
}

/** Takes over what is due; undefined where nothing is. */
export async function claimNext({ db, leases }: ClaimDeps): Promise<ClaimedSpooled | undefined> {
  const run = newRun()
  const row = await claimSpooled(db, { owner: run.owner, seconds: leases.seconds })
  if (row === undefined) return undefined
  // Renewed from now on.
  leases.held.set(row.id, run)
  return { row, run }
}

/** Keeps what waits for its next try from being taken for abandoned, while somebody lives to make it. */
export const renewSpooled = ({ leaseDb, leases }: Pick<Deps, 'leaseDb' | 'leases'>) =>
  renewWaiting(leaseDb, leases.seconds)

/**
 * Stores the pictures that wait and ends their generation, or puts it off. Rejects where not even that
 * can be written; then its lease runs out, and it is due again.
 */
export async function drain(deps: DrainDeps, claimed: ClaimedSpooled): Promise<void> {
  const { row, run } = claimed
  const { held, seconds } = deps.leases
  try {
    await storeAndEnd(deps, claimed)
  } catch (error) {
    const retryInSeconds = pauseSeconds(row.tries)
    deps.log.warn({ err: error, generation: row.id, retryInSeconds }, 'a picture still waits')
    await retryLater(deps.db, { owner: run.owner, seconds }, { id: row.id, retryInSeconds })
  } finally {
    if (held.get(row.id) === run) held.delete(row.id)
  }
}

const MAX_PAUSE_SECONDS = 30

/** 1, 2, 4 … 30 s, less up to a half, so that they do not all come back at once. */
function pauseSeconds(tries: number): number {
  return Math.min(MAX_PAUSE_SECONDS, 2 ** tries) * (1 - Math.random() / 2)
}

async function storeAndEnd(deps: DrainDeps, { row, run }: ClaimedSpooled): Promise<void> {
  const spooled = await listSpooledImages(deps.db, row)
  for (const image of spooled) if (image.waits) await storeOne(deps, image.row)
  // Read again: an image lies where it was stored now, which may be another store than it was made for.
  const result: Result = { ...row.result, images: await listSpooledImages(deps.db, row) }
  const ended = await endSurely(deps, endingOf(row, run), result, (tx) => endSpooled(tx, row.id))
  if (ended?.isOurs === true) return
  const objects = spooled.map((image) => ({ ...image.row, storage: deps.objectStore.kind }))
  await removeUnreachable(deps, row.id, objects)
}

async function storeOne(deps: DrainDeps, image: images.NewRow): Promise<void> {
  const bytes = await readSpooled(deps.db, image.id)
  if (bytes === undefined) return
  await images.storeAgain(deps, image, bytes)
  await markStored(deps.db, image.id, deps.objectStore.kind)
}

/**
 * What was stored of a generation that was canceled or deleted meanwhile. One that goes on belongs to
 * another process, which took it over.
 */
async function removeUnreachable(
  deps: DrainDeps,
  id: string,
  objects: readonly Pick<images.NewRow, 'storage' | 'object_key'>[],
): Promise<void> {
  const status = await findStatus(deps.db, id)
  if (status === 'running' || status === 'succeeded') return
  await images.deleteObjects(deps, objects)
}

const endingOf = (row: ClaimedRow, run: HeldRun): Ending => ({
  id: row.id,
  run,
  paid: {
    userId: row.user_id,
    keyId: row.key_id,
    generationId: row.id,
    attempt: row.attempt,
    mode: row.mode,
    model: row.result.model,
  },
})
