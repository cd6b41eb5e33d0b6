import { type RawBuilder, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { Reservation } from '../usage/usage.service.ts'
import type { GenerationRow } from './generations.repo.ts'
import { firstTag, heldBy, type Lease, oneMoreRun, type Run, waiting } from './runs.repo.ts'

/** The columns that a request decides. */
export type NewGeneration = Pick<
  GenerationRow,
  | 'id'
  | 'user_id'
  | 'key_id'
  | 'mode'
  | 'model'
  | 'prompt'
  | 'aspect_ratio'
  | 'size'
  | 'n'
  | 'input_images'
  | 'output_format'
  | 'output_quality'
  | 'seed'
  | 'thinking_level'
  | 'parent_id'
  | 'metadata'
  | 'end_user'
>

/** How a generation begins: held by a run at once, or waiting for a worker. */
export interface Beginning {
  /** Undefined: it waits. */
  lease: Lease | undefined
  /** Whether another process finishes it if its own dies. */
  detached: boolean
  /** What was set aside for it. */
  reservation: Reservation
}

const beginningColumns = (
  userId: string,
  { lease, detached, reservation }: Beginning,
  runs: RawBuilder<number>,
) => ({
  detached,
  reserved_micros: reservation.micros,
  reserved_on: reservation.day,
  ...(lease === undefined
    ? { ...waiting, queue_tag: nextTag(userId) }
    : { ...heldBy(lease), runs, queue_tag: null }),
})

/**
 * A place behind the account's own and one step behind whoever is next, so that accounts take turns
 * however many one of them sends (self-clocked fair queueing).
 */
const nextTag = (userId: string) => sql<number>`greatest(
  ${firstTag},
  (select max(queue_tag) from generations where status = 'queued' and user_id = ${userId}),
  0::bigint) + 1`

export async function insertGeneration(
  tx: Tx,
  row: NewGeneration,
  beginning: Beginning,
): Promise<GenerationRow> {
  return tx
    .insertInto('generations')
    .values({
      ...row,
      metadata: JSON.stringify(row.metadata),
      ...beginningColumns(row.user_id, beginning, sql<number>`1`),
    })
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Takes a failed generation for one more attempt; false when another request did. */
export async function restart(
  tx: Tx,
  { id, attempt }: Pick<GenerationRow, 'id' | 'attempt'>,
): Promise<boolean> {
  const row = await tx
    .updateTable('generations')
    .set({ status: 'running', attempt: attempt + 1, error: null, completed_at: null })
    .where('id', '=', id)
    .where('status', '=', 'failed')
    .where('attempt', '=', attempt)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}

/** An attempt that was committed: held by its run, or in the queue at least once. */
export async function findBegun(
  db: Db,
  { id, attempt, owner }: Omit<Run, 'owner'> & { owner: string | undefined },
): Promise<GenerationRow | undefined> {
  let query = db
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', id)
    .where('attempt', '=', attempt)
  if (owner !== undefined) {
    query = query.where('status', '=', 'running').where('lease_owner', '=', owner)
  }
  return query.executeTakeFirst()
}

/** Begins one more attempt. */
export async function beginAgain(
  tx: Tx,
  { id, user_id, model, size }: Pick<NewGeneration, 'id' | 'user_id' | 'model' | 'size'>,
  beginning: Beginning,
): Promise<GenerationRow> {
  return (
    tx
      .updateTable('generations')
      // The defaults may be others than at the first attempt.
      .set({ model, size, ...beginningColumns(user_id, beginning, oneMoreRun) })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow()
  )
}

/** A generation that waits, kept as it is while the transaction lasts. */
export async function lockQueued(tx: Tx, id: string): Promise<GenerationRow | undefined> {
  return tx
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', id)
    .where('status', '=', 'queued')
    .forUpdate()
    .executeTakeFirst()
}

export interface QueueCounts {
  all: number
  ofUser: number
}

/** How many wait. */
export async function countQueued(db: Db | Tx, userId: string): Promise<QueueCounts> {
  return db
    .selectFrom('generations')
    .select([
      sql<number>`count(*)::int`.as('all'),
      sql<number>`(count(*) filter (where user_id = ${userId}))::int`.as('ofUser'),
    ])
    .where('status', '=', 'queued')
    .executeTakeFirstOrThrow()
}

export async function countUnfinished(
  db: Db,
): Promise<{ labels: { status: string }; value: number }[]> {
  const counts = await db
    .selectFrom('generations')
    .select(['status', sql<number>`count(*)::int`.as('value')])
    .where('status', 'in', ['queued', 'running'])
    .groupBy('status')
    .execute()
  return (['queued', 'running'] as const).map((status) => ({
    labels: { status },
    value: counts.find((row) => row.status === status)?.value ?? 0,
  }))
}

export async function oldestQueuedSeconds(db: Db): Promise<number> {
  const { seconds } = await db
    .selectFrom('generations')
    .select(
      sql<number>`coalesce(extract(epoch from now() - min(created_at)), 0)::float8`.as('seconds'),
    )
    .where('status', '=', 'queued')
    .executeTakeFirstOrThrow()
  return seconds
}
