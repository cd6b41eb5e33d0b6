import type { GenerationStatus, Mode, Warning } from '@nanobanana/shared'
import {
  type RawBuilder,
  type Selectable,
  sql,
  type UpdateQueryBuilder,
  type UpdateResult,
} from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { Database, GenerationsTable, StoredError } from '../../db/schema.ts'
import type { Leases } from '../../kernel/deps.ts'
import type { Reservation } from '../usage/usage.service.ts'

export type GenerationRow = Selectable<GenerationsTable>

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

/** Who holds a generation, and for how long. */
export interface Lease {
  owner: string
  seconds: number
}

const leaseEnd = ({ seconds }: Pick<Lease, 'seconds'>) =>
  sql<Date>`now() + make_interval(secs => ${seconds}::int)`

const heldBy = (lease: Lease) => ({
  status: 'running' as const,
  lease_owner: lease.owner,
  lease_expires_at: leaseEnd(lease),
})

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

const waiting = { status: 'queued' as const, lease_owner: null, lease_expires_at: null }

const firstTag = sql`(select min(queue_tag) from generations where status = 'queued')`

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

const oneMoreRun = sql<number>`runs + 1`

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

export async function setRunning(tx: Tx, id: string, lease: Lease): Promise<void> {
  await tx
    .updateTable('generations')
    .set({ ...heldBy(lease), runs: oneMoreRun })
    .where('id', '=', id)
    .execute()
}

/**
 * Sends one back to the queue that a run has left, to its old place; undefined when it did not.
 * `called`: the provider may bill what the run had set aside.
 */
export async function setQueued(
  tx: Tx,
  run: Run,
  options: Abandoned & { called: boolean },
): Promise<GenerationRow | undefined> {
  const update = tx.updateTable('generations').set({
    ...waiting,
    queue_tag: sql<number>`coalesce(queue_tag, ${firstTag}, 1)`,
    ...(options.called ? mayBeBilled : {}),
  })
  return ofAbandoned(update, run, options)
}

/** Marks one that runs as to be finished by whoever can; false where it is marked already. */
export async function setDetached(tx: Tx, run: Run): Promise<boolean> {
  const update = tx.updateTable('generations').set({ detached: true }).where('detached', '=', false)
  return (await ofRun(update, run)) !== undefined
}

/** Takes one that runs from its run, for whoever comes next; false when something else ended it. */
export async function leaveRun(tx: Tx, run: Run, seconds: number): Promise<boolean> {
  const update = tx.updateTable('generations').set({
    lease_owner: sql<string>`gen_random_uuid()`,
    lease_expires_at: leaseEnd({ seconds }),
  })
  return (await ofRun(update, run)) !== undefined
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

/** One run of a generation; writes about it from any other are refused. */
export interface Run {
  id: string
  attempt: number
  /** Null only where nobody ever held it. */
  owner: string | null
}

export interface Success {
  text: string | null
  warnings: Warning[]
  input_tokens: number
  output_tokens: number
  cost_micros: number
  upstream_cost_micros: number
}

/** Ends a generation that still runs; undefined when something else ended or removed it. */
export async function succeed(
  tx: Tx,
  run: Run,
  result: Success,
): Promise<GenerationRow | undefined> {
  return ofRun(
    tx.updateTable('generations').set({
      ...result,
      warnings: JSON.stringify(result.warnings),
      upstream_cost_micros: plusUpstream(result.upstream_cost_micros),
      status: 'succeeded',
      ...ended,
    }),
    run,
  )
}

/** Ends it as failed; `upstreamCostMicros`: what the provider may bill us all the same. */
export async function fail(
  tx: Tx,
  run: Run,
  error: StoredError,
  upstreamCostMicros: number,
): Promise<GenerationRow | undefined> {
  return ofRun(
    tx.updateTable('generations').set({
      status: 'failed',
      error: JSON.stringify(error),
      upstream_cost_micros: plusUpstream(upstreamCostMicros),
      ...ended,
    }),
    run,
  )
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

/** Ends one that has not ended, whoever runs it; `undefined` when it has. */
export async function cancel(tx: Tx, id: string): Promise<GenerationRow | undefined> {
  return tx
    .updateTable('generations')
    .set({ status: 'canceled', ...mayBeBilled, ...ended })
    .where('id', '=', id)
    .where('status', 'in', ['queued', 'running'])
    .returningAll()
    .executeTakeFirst()
}

/** An abort does not stop the provider's bill, and of a process that died nobody knows. */
const mayBeBilled = {
  upstream_cost_micros: sql<number>`upstream_cost_micros
    + case status when 'running' then reserved_micros else 0 end`,
}

/** Of earlier attempts too. */
const plusUpstream = (micros: number) => sql<number>`upstream_cost_micros + ${micros}::bigint`

const ended = { lease_owner: null, lease_expires_at: null, completed_at: sql<Date>`now()` }

type GenerationsUpdate = UpdateQueryBuilder<Database, 'generations', 'generations', UpdateResult>

const ofRun = (
  update: GenerationsUpdate,
  { id, attempt, owner }: Run,
): Promise<GenerationRow | undefined> =>
  update
    .where('id', '=', id)
    .where('status', '=', 'running')
    .where('attempt', '=', attempt)
    .where('lease_owner', owner === null ? 'is' : '=', owner)
    .returningAll()
    .executeTakeFirst()

/**
 * Puts off the end of the leases of what a process runs. What is locked is being ended or deleted, and
 * must not keep the others waiting.
 */
export async function renewLeases(db: Db, { held, seconds }: Leases): Promise<void> {
  await db
    .updateTable('generations')
    .set({ lease_expires_at: leaseEnd({ seconds }) })
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('generations')
        .select('id')
        .where('id', 'in', [...held.keys()])
        .where(
          'lease_owner',
          'in',
          [...held.values()].map(({ owner }) => owner),
        )
        .where('status', '=', 'running')
        .forNoKeyUpdate()
        .skipLocked(),
    )
    .execute()
}

/** Ends the leases of what a process runs, so that another may take it over. */
export async function endLeases(db: Db, held: Leases['held']): Promise<void> {
  if (held.size === 0) return
  await db
    .updateTable('generations')
    .set({ lease_expires_at: sql<Date>`now()` })
    .where('id', 'in', [...held.keys()])
    .where(
      'lease_owner',
      'in',
      [...held.values()].map(({ owner }) => owner),
    )
    .where('status', '=', 'running')
    .execute()
}

/** Which runs count as left: `all`, or those past their lease. */
export interface Abandoned {
  all: boolean
}

export interface AbandonedRun extends Run {
  detached: boolean
  /** Runs of the attempts so far. */
  runs: number
}

/** What runs without a living process; a thousand at most, beside those named. */
export async function listAbandoned(
  db: Db,
  options: Abandoned & { beside: readonly string[] },
): Promise<AbandonedRun[]> {
  let query = db
    .selectFrom('generations')
    .select(['id', 'attempt', 'lease_owner', 'detached', 'runs'])
    .where('status', '=', 'running')
  if (!options.all) query = query.where('lease_expires_at', '<', sql<Date>`now()`)
  if (options.beside.length > 0) query = query.where('id', 'not in', options.beside)
  const rows = await query.limit(1000).execute()
  return rows.map(({ lease_owner, ...row }) => ({ ...row, owner: lease_owner }))
}

/** Ends such a one as failed, if nobody has renewed its lease meanwhile. */
export async function failAbandoned(
  tx: Tx,
  run: Run,
  error: StoredError,
  options: Abandoned,
): Promise<GenerationRow | undefined> {
  const update = tx
    .updateTable('generations')
    .set({ status: 'failed', error: JSON.stringify(error), ...mayBeBilled, ...ended })
  return ofAbandoned(update, run, options)
}

function ofAbandoned(
  update: GenerationsUpdate,
  run: Run,
  options: Abandoned,
): Promise<GenerationRow | undefined> {
  const left = options.all ? update : update.where('lease_expires_at', '<', sql<Date>`now()`)
  return ofRun(left, run)
}

/** Generations of a key that run, beside the one named. */
export async function countRunning(tx: Tx, keyId: string, beside: string): Promise<number> {
  const row = await tx
    .selectFrom('generations')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('key_id', '=', keyId)
    .where('status', '=', 'running')
    .where('id', '!=', beside)
    .executeTakeFirstOrThrow()
  return row.count
}

/** Whose generations: an account's, of one mode or of both. */
export interface Visible {
  userId: string
  mode: Mode | undefined
}

export async function findStatus(db: Db, id: string): Promise<GenerationStatus | undefined> {
  const row = await db
    .selectFrom('generations')
    .select('status')
    .where('id', '=', id)
    .executeTakeFirst()
  return row?.status
}

export async function findGeneration(
  db: Db,
  visible: Visible,
  id: string,
): Promise<GenerationRow | undefined> {
  let query = db
    .selectFrom('generations')
    .selectAll()
    .where('user_id', '=', visible.userId)
    .where('id', '=', id)
  if (visible.mode !== undefined) query = query.where('mode', '=', visible.mode)
  return query.executeTakeFirst()
}

/** Keeps a generation as it is while the transaction lasts; undefined when there is no such. */
export async function lockGeneration(
  tx: Tx,
  visible: Visible,
  id: string,
): Promise<{ status: GenerationStatus } | undefined> {
  let query = tx
    .selectFrom('generations')
    .select('status')
    .where('user_id', '=', visible.userId)
    .where('id', '=', id)
    .forUpdate()
  if (visible.mode !== undefined) query = query.where('mode', '=', visible.mode)
  return query.executeTakeFirst()
}

/** Removes a generation with its images' rows. */
export async function deleteGeneration(tx: Tx, userId: string, id: string): Promise<void> {
  await tx.deleteFrom('generations').where('user_id', '=', userId).where('id', '=', id).execute()
}

/** Removes an account's generations with their images' rows; answers those that had not ended. */
export async function deleteGenerationsOfUser(tx: Tx, userId: string): Promise<GenerationRow[]> {
  // A long history takes longer than a request's statement may.
  await sql`set local statement_timeout = 0`.execute(tx)
  const all = tx.deleteFrom('generations').where('user_id', '=', userId)
  const unfinished = await all.where('status', 'in', ['queued', 'running']).returningAll().execute()
  await all.execute()
  return unfinished
}
