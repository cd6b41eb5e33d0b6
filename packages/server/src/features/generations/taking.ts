import { transaction, type Tx } from '../../db/client.ts'
import type { Deps, HeldRun } from '../../kernel/deps.ts'
import * as keys from '../keys/keys.service.ts'
import { lockQueued } from './beginning.repo.ts'
import type { GenerationRow } from './generations.repo.ts'
import { countRunning, setRunning } from './runs.repo.ts'
import { newRun } from './running.ts'
import { hasRoom } from './spooling.ts'
import { tell } from './telling.ts'

type TakeDeps = Pick<Deps, 'db' | 'queue' | 'objectStore' | 'settings' | 'leases'>

/** A generation that a worker of this process holds. */
export interface Taken {
  readonly row: GenerationRow
  readonly run: HeldRun
}

/** A key that has as many running as it may is looked at again after this. */
const CROWDED_SECONDS = 1
/** In one transaction, which locks what it has put back. */
const MAX_LOOKS = 20

/**
 * Takes the next generation off the queue and sets it running; undefined where none is due, or where so
 * much waits for the store already that they all wait here.
 */
export async function takeNext(deps: TakeDeps): Promise<Taken | undefined> {
  const run = newRun()
  const row = await transaction(deps.db, async (tx) => {
    if (!(await hasRoom(tx, deps))) return undefined
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const id = await deps.queue.take(tx)
      if (id === undefined) return undefined
      const queued = await lockQueued(tx, id)
      // Canceled or deleted meanwhile.
      if (queued === undefined) continue
      if (!(await isCrowded(tx, deps, queued))) return begin(tx, deps, queued, run)
      await putBack(tx, deps, queued, CROWDED_SECONDS)
    }
    return undefined
  })
  return row && { row, run }
}

async function begin(
  tx: Tx,
  deps: TakeDeps,
  queued: GenerationRow,
  { owner }: HeldRun,
): Promise<GenerationRow> {
  await setRunning(tx, queued.id, { owner, seconds: deps.leases.seconds })
  await tell(tx, queued, [{ type: 'running' }])
  return queued
}

async function isCrowded(tx: Tx, deps: TakeDeps, { id, key_id }: GenerationRow): Promise<boolean> {
  if (key_id === null) return false
  const limit = (await keys.lockForRun(tx, key_id)) ?? deps.settings.keyConcurrency
  return (await countRunning(tx, key_id, id)) >= limit
}

/** To its old place, where nobody looks for so many seconds. */
export const putBack = (
  tx: Tx,
  { queue }: Pick<Deps, 'queue'>,
  { id, queue_tag }: Pick<GenerationRow, 'id' | 'queue_tag'>,
  delaySeconds: number,
): Promise<void> => queue.enqueue(tx, id, { priority: -(queue_tag ?? 0), delaySeconds })
