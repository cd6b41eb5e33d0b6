import type { GenerationStatus, Mode } from '@nanobanana/shared'
import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { GenerationsTable } from '../../db/schema.ts'

export type GenerationRow = Selectable<GenerationsTable>

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
