import { type Generation, type ListGenerationsInput, wordsOf } from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import { deleteInBatches } from '../../kernel/batches.ts'
import type { Deps } from '../../kernel/deps.ts'
import { uuidOf } from '../../kernel/ids.ts'
import { modeOf, type Principal } from '../../kernel/principal.ts'
import * as images from '../images/images.service.ts'
import { cursorOf, parseCursor } from './cursor.ts'
import { releaseOf } from './ending.ts'
import { deleteOldEvents } from './events.repo.ts'
import { countUnfinished, oldestQueuedSeconds } from './beginning.repo.ts'
import {
  deleteGeneration,
  deleteGenerationsOfUser,
  findGeneration,
  type GenerationRow,
  lockGeneration,
} from './generations.repo.ts'
import { endLeases, renewLeases } from './runs.repo.ts'
import { listKeptOfUser } from './kept-images.repo.ts'
import { deleteExpiredRecords, deleteRecordsOfUser } from './idempotency.repo.ts'
import { type Filters, listGenerations } from './list.repo.ts'
import { render } from './render.ts'
import { listSpooledOfUser } from './spool.repo.ts'
import { visibleTo } from './visible.ts'

export { countSpooled } from './spool.repo.ts'

type ReadDeps = Pick<Deps, 'db' | 'objectStore' | 'settings'>

export async function get(deps: ReadDeps, principal: Principal, id: string): Promise<Generation> {
  const row = await findGeneration(deps.db, visibleTo(principal), uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  const rows = await images.listByGeneration(deps.db, principal.userId, [row.id])
  return render(deps, row, rows, 'data-url')
}

/** A generation as its owner would read it now, with small addresses; undefined for one that is gone. */
export async function readCurrent(
  deps: ReadDeps,
  userId: string,
  id: string,
): Promise<Generation | undefined> {
  const row = await findGeneration(deps.db, { userId, mode: undefined }, id)
  if (row === undefined) return undefined
  const rows = await images.listByGeneration(deps.db, userId, [id])
  return render(deps, row, rows, 'address')
}

export async function list(
  deps: ReadDeps & Pick<Deps, 'catalogue'>,
  principal: Principal,
  input: ListGenerationsInput,
): Promise<{ data: Generation[]; next_cursor: string | null }> {
  const visible = { userId: principal.userId, mode: modeOf(principal, input.mode) }
  const rows = await listGenerations(deps.db, visible, filtersOf(deps, input), input.limit + 1)
  const shown = rows.slice(0, input.limit)
  const last = shown.at(-1)
  return {
    data: await renderAll(deps, principal, shown),
    next_cursor: rows.length > shown.length && last !== undefined ? cursorOf(last) : null,
  }
}

const filtersOf = (
  { catalogue }: Pick<Deps, 'catalogue'>,
  input: ListGenerationsInput,
): Filters => ({
  before: optional(input.cursor, parseCursor),
  status: input.status,
  model: optional(input.model, (name) => catalogue.find(name)?.id ?? name),
  keyId: optional(input.key_id, uuidOf),
  words: wordsOf(input.q ?? ''),
  createdAfter: optional(input.created_after, toDate),
  createdBefore: optional(input.created_before, toDate),
})

const optional = <T, U>(value: T | undefined, convert: (value: T) => U): U | undefined =>
  value === undefined ? undefined : convert(value)
const toDate = (time: string): Date => new Date(time)

/** How many generations have not ended, by status, for whoever watches the installation. */
export const readQueue = (deps: Pick<Deps, 'db'>) => countUnfinished(deps.db)

/** Seconds that the generation which is next has waited; 0 where none waits. */
export const readOldest = async (deps: Pick<Deps, 'db'>) => [
  { value: await oldestQueuedSeconds(deps.db) },
]

/** Keeps what this process runs from being taken for abandoned. */
export async function renew({ leaseDb, leases }: Pick<Deps, 'leaseDb' | 'leases'>): Promise<void> {
  if (leases.held.size > 0) await renewLeases(leaseDb, leases)
}

/** Leaves all that this process runs to others, for one that is about to end. */
export async function releaseLeases({
  urgentDb,
  leases,
}: Pick<Deps, 'urgentDb' | 'leases'>): Promise<void> {
  const held = new Map(leases.held)
  // First, or the next renewal would take them back.
  leases.held.clear()
  await endLeases(urgentDb, held)
}

/** Removes a generation that has ended, with its prompt and images; the ledger stays. */
export async function remove(
  deps: Pick<Deps, 'db' | 'objectStore' | 'log'>,
  principal: Principal,
  id: string,
): Promise<void> {
  const uuid = uuidOf(id)
  const visible = visibleTo(principal)
  const objects = await transaction(deps.db, async (tx) => {
    const found = await lockGeneration(tx, visible, uuid)
    if (found === undefined) throw new AppError('not_found')
    const { status } = found
    if (status === 'queued' || status === 'running') throw new AppError('not_deletable')
    const stored = await images.doomObjectsOf(tx, principal.userId, uuid)
    await deleteGeneration(tx, principal.userId, uuid)
    return stored
  })
  await images.deleteObjects(deps, objects)
}

/** Removes the records of idempotency whose retention is over; answers how many. */
export const sweepRecords = (deps: Pick<Deps, 'db'>, signal: AbortSignal): Promise<number> =>
  deleteInBatches((limit) => deleteExpiredRecords(deps.db, limit), signal)

/** Removes events that nobody can ask for any more; answers how many. */
export const sweepEvents = (deps: Pick<Deps, 'db'>, signal: AbortSignal): Promise<number> =>
  deleteInBatches((limit) => deleteOldEvents(deps.db, limit), signal)

/** Removes an account's generations with their images' rows; the objects stay to be deleted. */
export async function deleteAllOf(tx: Tx, userId: string): Promise<void> {
  await images.doom(tx, await listKeptOfUser(tx, userId))
  await images.doom(tx, await listSpooledOfUser(tx, userId))
  // Generations before records, in the order in which one that ends locks them.
  for (const running of await deleteGenerationsOfUser(tx, userId)) await releaseOf(tx, running)
  await deleteRecordsOfUser(tx, userId)
}

async function renderAll(
  deps: ReadDeps,
  principal: Principal,
  rows: readonly GenerationRow[],
): Promise<Generation[]> {
  const imageRows = await images.listByGeneration(
    deps.db,
    principal.userId,
    rows.map((row) => row.id),
  )
  return Promise.all(
    rows.map((row) =>
      render(
        deps,
        row,
        imageRows.filter((image) => image.generation_id === row.id),
        'address',
      ),
    ),
  )
}
