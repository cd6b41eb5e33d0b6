import type { GenerationStatus, Mode, Warning } from '@nanobanana/shared'
import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { GenerationsTable, StoredError } from '../../db/schema.ts'

export type GenerationRow = Selectable<GenerationsTable>

export interface NewGeneration {
  id: string
  user_id: string
  key_id: string | null
  mode: Mode
  model: string
  prompt: string
  aspect_ratio: string | null
  size: string
  n: number
  input_images: number
  output_format: string | null
  output_quality: number | null
  seed: number | null
  thinking_level: string | null
  parent_id: string | null
  metadata: Record<string, string>
  end_user: string | null
  /** Seconds after which its process is taken to have died. */
  leaseSeconds: number
}

export async function insertRunning(tx: Tx, row: NewGeneration): Promise<void> {
  const { leaseSeconds, metadata, ...columns } = row
  await tx
    .insertInto('generations')
    .values({
      ...columns,
      status: 'running',
      metadata: JSON.stringify(metadata),
      lease_expires_at: sql<Date>`now() + make_interval(secs => ${leaseSeconds}::int)`,
    })
    .execute()
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
  id: string,
  result: Success,
): Promise<GenerationRow | undefined> {
  return tx
    .updateTable('generations')
    .set({
      ...result,
      warnings: JSON.stringify(result.warnings),
      status: 'succeeded',
      lease_expires_at: null,
      completed_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .where('status', '=', 'running')
    .returningAll()
    .executeTakeFirst()
}

export async function fail(
  db: Db,
  id: string,
  error: StoredError,
  upstreamCostMicros: number,
): Promise<void> {
  await failing(db, error)
    .set({ upstream_cost_micros: upstreamCostMicros })
    .where('id', '=', id)
    .where('status', '=', 'running')
    .execute()
}

/** Fails what runs without a living process: past its lease, or all of it when `all` is set. */
export async function failAbandoned(
  db: Db,
  error: StoredError,
  options: { all: boolean },
): Promise<string[]> {
  let query = failing(db, error).where('status', 'in', ['queued', 'running'])
  if (!options.all) query = query.where('lease_expires_at', '<', sql<Date>`now()`)
  const rows = await query.returning('id').execute()
  return rows.map((row) => row.id)
}

const failing = (db: Db, error: StoredError) =>
  db.updateTable('generations').set({
    status: 'failed',
    error: JSON.stringify(error),
    lease_expires_at: null,
    completed_at: sql<Date>`now()`,
  })

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

export interface Filters {
  limit: number
  before: string | undefined
  status: GenerationStatus | undefined
  model: string | undefined
  keyId: string | undefined
}

/** Newest first, by keyset. */
export async function listGenerations(
  db: Db,
  visible: Visible & { mode: Mode },
  filters: Filters,
): Promise<GenerationRow[]> {
  let query = db
    .selectFrom('generations')
    .selectAll()
    .where('user_id', '=', visible.userId)
    .where('mode', '=', visible.mode)
    .orderBy('id', 'desc')
    .limit(filters.limit)
  if (filters.before !== undefined) query = query.where('id', '<', filters.before)
  if (filters.status !== undefined) query = query.where('status', '=', filters.status)
  if (filters.model !== undefined) query = query.where('model', '=', filters.model)
  if (filters.keyId !== undefined) query = query.where('key_id', '=', filters.keyId)
  return query.execute()
}

/** Removes an account's generations; their images' rows go with them. */
export async function deleteGenerationsOfUser(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom('generations').where('user_id', '=', userId).execute()
}
