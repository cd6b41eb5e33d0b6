import type { GenerationStatus, Mode, Warning } from '@nanobanana/shared'
import { type Selectable, sql, type UpdateQueryBuilder, type UpdateResult } from 'kysely'
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

/** What sets a generation running: who holds it, and what was set aside for it. */
export interface Running {
  leases: Leases
  reservation: Reservation
}

const runningColumns = ({ leases, reservation }: Running) => ({
  status: 'running' as const,
  reserved_micros: reservation.micros,
  reserved_on: reservation.day,
  lease_owner: leases.owner,
  lease_expires_at: leaseEnd(leases),
})

const leaseEnd = ({ seconds }: Leases) => sql<Date>`now() + make_interval(secs => ${seconds}::int)`

export async function insertRunning(tx: Tx, row: NewGeneration, running: Running): Promise<void> {
  await tx
    .insertInto('generations')
    .values({ ...row, metadata: JSON.stringify(row.metadata), ...runningColumns(running) })
    .execute()
}

/** Sets a failed generation running for one more attempt; false when another request did. */
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

/** Whether the run was committed and has not ended. */
export async function isRunning(db: Db, { id, attempt, owner }: Run): Promise<boolean> {
  const row = await db
    .selectFrom('generations')
    .select('id')
    .where('id', '=', id)
    .where('status', '=', 'running')
    .where('attempt', '=', attempt)
    .where('lease_owner', '=', owner)
    .executeTakeFirst()
  return row !== undefined
}

export async function setRunning(
  tx: Tx,
  { id, model, size }: Pick<NewGeneration, 'id' | 'model' | 'size'>,
  running: Running,
): Promise<void> {
  await tx
    .updateTable('generations')
    // The defaults may be others than at the first attempt.
    .set({ model, size, ...runningColumns(running) })
    .where('id', '=', id)
    .execute()
}

/** One run of a generation; writes about it from any other are refused. */
export interface Run {
  id: string
  attempt: number
  owner: string
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

/** Of earlier attempts too. */
const plusUpstream = (micros: number) => sql<number>`upstream_cost_micros + ${micros}::bigint`

const ended = { lease_owner: null, lease_expires_at: null, completed_at: sql<Date>`now()` }

const ofRun = (
  update: UpdateQueryBuilder<Database, 'generations', 'generations', UpdateResult>,
  { id, attempt, owner }: Run,
): Promise<GenerationRow | undefined> =>
  update
    .where('id', '=', id)
    .where('status', '=', 'running')
    .where('attempt', '=', attempt)
    .where('lease_owner', '=', owner)
    .returningAll()
    .executeTakeFirst()

/** Puts off the end of the leases of what a process runs. */
export async function renewLeases(db: Db, leases: Leases): Promise<void> {
  await db
    .updateTable('generations')
    .set({ lease_expires_at: leaseEnd(leases) })
    .where('id', 'in', [...leases.held.keys()])
    .where('lease_owner', '=', leases.owner)
    .where('status', '=', 'running')
    .execute()
}

/**
 * What runs without a living process: past its lease, or all of it when `all` is set; a thousand at
 * most, beside those named.
 */
export async function listAbandoned(
  db: Db,
  options: { all: boolean; beside: readonly string[] },
): Promise<Run[]> {
  let query = db
    .selectFrom('generations')
    .select(['id', 'attempt', 'lease_owner'])
    .where('status', 'in', ['queued', 'running'])
  if (!options.all) query = query.where('lease_expires_at', '<', sql<Date>`now()`)
  if (options.beside.length > 0) query = query.where('id', 'not in', options.beside)
  const rows = await query.limit(1000).execute()
  return rows.map(({ id, attempt, lease_owner }) => ({ id, attempt, owner: lease_owner ?? '' }))
}

/** Ends such a one as failed, if nobody has renewed its lease meanwhile. */
export async function failAbandoned(
  tx: Tx,
  { id, attempt }: Run,
  error: StoredError,
  options: { all: boolean },
): Promise<GenerationRow | undefined> {
  let query = tx
    .updateTable('generations')
    .set({ status: 'failed', error: JSON.stringify(error), ...ended })
    .where('id', '=', id)
    .where('attempt', '=', attempt)
    .where('status', 'in', ['queued', 'running'])
  if (!options.all) query = query.where('lease_expires_at', '<', sql<Date>`now()`)
  return query.returningAll().executeTakeFirst()
}

/** Generations of a key that have not ended, beside the one named. */
export async function countUnfinished(tx: Tx, keyId: string, beside: string): Promise<number> {
  const row = await tx
    .selectFrom('generations')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('key_id', '=', keyId)
    .where('status', 'in', ['queued', 'running'])
    .where('id', '!=', beside)
    .executeTakeFirstOrThrow()
  return row.count
}

/** Whose generations: an account's, of one mode or of both. */
export interface Visible {
  userId: string
  mode: Mode | undefined
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
