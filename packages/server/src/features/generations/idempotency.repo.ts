import type { GenerationStatus } from '@nanobanana/shared'
import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'

/** Whose key of idempotency it is: the same text of two accounts, or of two API keys, is two. */
export interface Claim {
  userId: string
  /** Id of an API key, or `session`. */
  scope: string
  key: string
  /** SHA-256 of the request in canonical form. */
  fingerprint: Uint8Array
}

/** Records last this long after their generation has ended. */
export const RETENTION_HOURS = 24

const notExpired = sql<boolean>`coalesce(expires_at > now(), true)`

export interface IdempotencyRecord {
  generation_id: string
  fingerprint: Uint8Array
  /** Of its generation; null: deleted. */
  status: GenerationStatus | null
}

export async function findRecord(
  db: Db,
  { userId, scope, key }: Claim,
): Promise<IdempotencyRecord | undefined> {
  return db
    .selectFrom('idempotency_keys as record')
    .leftJoin('generations', 'generations.id', 'record.generation_id')
    .select(['record.generation_id', 'record.fingerprint', 'generations.status'])
    .where('record.user_id', '=', userId)
    .where('record.scope', '=', scope)
    .where('record.key', '=', key)
    .where(notExpired)
    .executeTakeFirst()
}

/** Takes the key for a generation; false when another request took it before. */
export async function insertRecord(tx: Tx, claim: Claim, generationId: string): Promise<boolean> {
  const { userId: user_id, scope, key, fingerprint } = claim
  const rows = await tx
    .insertInto('idempotency_keys')
    .values({ user_id, scope, key, fingerprint, generation_id: generationId, expires_at: null })
    .onConflict((conflict) =>
      conflict
        .columns(['user_id', 'scope', 'key'])
        .doUpdateSet({ fingerprint, generation_id: generationId, expires_at: null })
        .where(sql<boolean>`idempotency_keys.expires_at <= now()`),
    )
    .returning('generation_id')
    .execute()
  return rows.length > 0
}

/** Ends the retention of a record whose generation runs again; false when it was over before. */
export async function reopenRecord(
  tx: Tx,
  { userId, scope, key }: Claim,
  generationId: string,
): Promise<boolean> {
  const result = await tx
    .updateTable('idempotency_keys')
    .set({ expires_at: null })
    .where('user_id', '=', userId)
    .where('scope', '=', scope)
    .where('key', '=', key)
    .where('generation_id', '=', generationId)
    .where(notExpired)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Begins the retention of a generation's records, as it ends. */
export async function expireRecords(tx: Tx, generationId: string): Promise<void> {
  await tx
    .updateTable('idempotency_keys')
    .set({ expires_at: sql<Date>`now() + make_interval(hours => ${RETENTION_HOURS}::int)` })
    .where('generation_id', '=', generationId)
    .execute()
}

/** Looks again at each row it locked: a claim that took over an expired record must live. */
export async function deleteExpiredRecords(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from idempotency_keys where expires_at <= now() and (user_id, scope, key) in (
      select user_id, scope, key from idempotency_keys
      where expires_at <= now() limit ${limit}::int for update skip locked
    ) returning key`.execute(db)
  return rows.length
}

export async function deleteRecordsOfUser(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom('idempotency_keys').where('user_id', '=', userId).execute()
}
