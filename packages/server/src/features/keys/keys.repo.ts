import type { Mode, Scope } from '@nanobanana/shared'
import { type ExpressionBuilder, type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { ApiKeysTable, Database } from '../../db/schema.ts'

export type KeyRow = Selectable<ApiKeysTable> & { expired: boolean }

const expired = (eb: ExpressionBuilder<Database, 'api_keys'>) =>
  eb.and([eb('expires_at', 'is not', null), eb('expires_at', '<=', sql<Date>`now()`)])

/** Keys that count against the account's bound: neither revoked nor expired. */
export async function countKeys(tx: Tx, userId: string): Promise<number> {
  const row = await tx
    .selectFrom('api_keys')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('user_id', '=', userId)
    .where('status', '!=', 'revoked')
    .where((eb) => eb.not(expired(eb)))
    .executeTakeFirstOrThrow()
  return row.count
}

export interface NewKey {
  id: string
  user_id: string
  name: string
  prefix: string
  mode: Mode
  scopes: Scope[]
  expires_at: Date | null
  monthly_limit_micros: number | null
  requests_per_minute: number | null
  max_concurrency: number | null
}

export async function insertKey(tx: Tx, row: NewKey): Promise<KeyRow> {
  return tx
    .insertInto('api_keys')
    .values(row)
    .returningAll()
    .returning((eb) => expired(eb).as('expired'))
    .executeTakeFirstOrThrow() as Promise<KeyRow>
}

export async function insertSecret(
  tx: Tx,
  secret: { digest: Uint8Array; key_id: string; pepper_id: string },
): Promise<void> {
  await tx
    .insertInto('api_key_secrets')
    .values({ ...secret, expires_at: null })
    .execute()
}

const selectKeys = (db: Db | Tx, userId: string) =>
  db
    .selectFrom('api_keys')
    .selectAll()
    .select((eb) => expired(eb).as('expired'))
    .where('user_id', '=', userId)

export async function findKey(
  db: Db | Tx,
  userId: string,
  id: string,
): Promise<KeyRow | undefined> {
  return (await selectKeys(db, userId).where('id', '=', id).executeTakeFirst()) as
    | KeyRow
    | undefined
}

export async function listKeys(
  db: Db,
  userId: string,
  page: { limit: number; before: string | undefined },
): Promise<KeyRow[]> {
  let query = selectKeys(db, userId).orderBy('id', 'desc').limit(page.limit)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  return (await query.execute()) as KeyRow[]
}

export type KeyChanges = Partial<
  Pick<
    NewKey,
    'name' | 'expires_at' | 'monthly_limit_micros' | 'requests_per_minute' | 'max_concurrency'
  > & { status: 'active' | 'disabled' }
>

/** Changes a key that is not revoked; undefined when the account has no such key. */
export async function updateKey(
  tx: Tx,
  userId: string,
  id: string,
  changes: KeyChanges,
): Promise<KeyRow | undefined> {
  return (await tx
    .updateTable('api_keys')
    .set(changes)
    .where('user_id', '=', userId)
    .where('id', '=', id)
    .where('status', '!=', 'revoked')
    .returningAll()
    .returning((eb) => expired(eb).as('expired'))
    .executeTakeFirst()) as KeyRow | undefined
}

export type OwnedKey = Pick<KeyRow, 'id' | 'user_id'>

const revokeKeys = (tx: Tx) =>
  tx
    .updateTable('api_keys')
    .set({ status: 'revoked' })
    .where('status', '!=', 'revoked')
    .returning(['id', 'user_id'])

/** Revokes a key; undefined when the account has none such that is not revoked. */
export async function revokeKey(tx: Tx, userId: string, id: string): Promise<OwnedKey | undefined> {
  return revokeKeys(tx).where('user_id', '=', userId).where('id', '=', id).executeTakeFirst()
}

/** Ends the secrets of a key: the newest lives on for the grace, the others end now. */
export async function retireSecrets(tx: Tx, keyId: string, graceSeconds: number): Promise<void> {
  const newest = tx
    .selectFrom('api_key_secrets')
    .select('digest')
    .where('key_id', '=', keyId)
    .where('expires_at', 'is', null)
  await tx
    .deleteFrom('api_key_secrets')
    .where('key_id', '=', keyId)
    .where('digest', 'not in', newest)
    .execute()
  if (graceSeconds === 0) {
    await tx.deleteFrom('api_key_secrets').where('key_id', '=', keyId).execute()
    return
  }
  await tx
    .updateTable('api_key_secrets')
    .set({ expires_at: sql<Date>`now() + make_interval(secs => ${graceSeconds}::int)` })
    .where('key_id', '=', keyId)
    .execute()
}

export async function setPrefix(tx: Tx, keyId: string, prefix: string): Promise<void> {
  await tx.updateTable('api_keys').set({ prefix }).where('id', '=', keyId).execute()
}

export interface AuthenticatedKey {
  digest: Uint8Array
  id: string
  user_id: string
  mode: Mode
  scopes: Scope[]
  requests_per_minute: number | null
  max_concurrency: number | null
  /** Its last use is unknown or more than a minute ago. */
  last_use_stale: boolean
}

/** Of a key `k` and its owner `u`: whether a secret of the key would be let in. */
const usable = sql<boolean>`k.status = 'active' and coalesce(k.expires_at > now(), true)
  and u.deleted_at is null and u.disabled_at is null`

/** The live key behind one of the digests, with its owner in good standing: one indexed read. */
export async function findLiveKey(
  db: Db,
  digests: readonly Uint8Array[],
): Promise<AuthenticatedKey | undefined> {
  return db
    .selectFrom('api_key_secrets as s')
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .innerJoin('users as u', 'u.id', 'k.user_id')
    .select(['s.digest', 'k.id', 'k.user_id', 'k.mode', 'k.scopes'])
    .select(['k.requests_per_minute', 'k.max_concurrency'])
    .select(
      sql<boolean>`coalesce(k.last_used_at < now() - interval '1 minute', true)`.as(
        'last_use_stale',
      ),
    )
    .where('s.digest', 'in', digests)
    .where(sql<boolean>`coalesce(s.expires_at > now(), true)`)
    .where(usable)
    .executeTakeFirst()
}

/** Why the secret behind one of the digests is refused; undefined for one that never was a key's. */
export async function findRefusal(
  db: Db,
  digests: readonly Uint8Array[],
): Promise<(OwnedKey & { detail: string }) | undefined> {
  const detail = sql<string | null>`case
    when u.disabled_at is not null then 'account_disabled'
    when k.status <> 'active' then k.status
    when k.expires_at <= now() then 'expired'
    when s.expires_at <= now() then 'rotated' end`
  const row = await db
    .selectFrom('api_key_secrets as s')
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .innerJoin('users as u', 'u.id', 'k.user_id')
    .select(['k.id', 'k.user_id', detail.as('detail')])
    .where('s.digest', 'in', digests)
    .executeTakeFirst()
  return row?.detail == null ? undefined : { ...row, detail: row.detail }
}

/** Locks a key that is neither revoked nor disabled; false when there is none. */
export async function lockKey(tx: Tx, id: string): Promise<boolean> {
  const row = await tx
    .selectFrom('api_keys')
    .select('id')
    .where('id', '=', id)
    .where('status', '=', 'active')
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row !== undefined
}

/** Locks a key whatever its state, and answers its own limit; null: it has none. */
export async function lockKeyForRun(tx: Tx, id: string): Promise<number | null> {
  const row = await tx
    .selectFrom('api_keys')
    .select('max_concurrency')
    .where('id', '=', id)
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row?.max_concurrency ?? null
}

/** Notes a use, at most once a minute. */
export async function touchKey(db: Db, id: string): Promise<void> {
  await db
    .updateTable('api_keys')
    .set({ last_used_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where(sql<boolean>`coalesce(last_used_at < now() - interval '1 minute', true)`)
    .execute()
}

// A rotated key is judged by its newest secret, the one without an end.
const selectOfOtherPeppers = (db: Db | Tx, pepperIds: readonly string[]) =>
  db
    .selectFrom('api_key_secrets as s')
    .innerJoin('api_keys as k', 'k.id', 's.key_id')
    .innerJoin('users as u', 'u.id', 'k.user_id')
    .where('s.expires_at', 'is', null)
    .where('s.pepper_id', 'not in', pepperIds)
    .where(usable)

/** Usable keys whose newest secret was made under none of the peppers. */
export async function countKeysOfOtherPeppers(
  db: Db,
  pepperIds: readonly string[],
): Promise<number> {
  const row = await selectOfOtherPeppers(db, pepperIds)
    .select(sql<number>`count(distinct k.id)::int`.as('count'))
    .executeTakeFirstOrThrow()
  return row.count
}

/** Revokes what `countKeysOfOtherPeppers` counts. */
export async function revokeKeysOfOtherPeppers(
  tx: Tx,
  pepperIds: readonly string[],
): Promise<OwnedKey[]> {
  return revokeKeys(tx)
    .where('id', 'in', selectOfOtherPeppers(tx, pepperIds).select('k.id'))
    .execute()
}

/** Revokes every key of an account that is not revoked. */
export async function revokeKeysOfUser(tx: Tx, userId: string): Promise<OwnedKey[]> {
  return revokeKeys(tx).where('user_id', '=', userId).execute()
}

/** Ends every key of an account and forgets its secrets and names. */
export async function deleteKeysOfUser(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom('api_keys').where('user_id', '=', userId).execute()
}
