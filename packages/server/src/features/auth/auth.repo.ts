import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { UsersTable } from '../../db/schema.ts'

export type UserRow = Selectable<UsersTable>

/** Registers an account; undefined when the normalised address is taken. */
export async function insertUser(
  db: Db,
  row: {
    id: string
    email: string
    email_display: string
    password_hash: string
    name: string | null
  },
): Promise<UserRow | undefined> {
  return db
    .insertInto('users')
    .values(row)
    .onConflict((conflict) => conflict.column('email').doNothing())
    .returningAll()
    .executeTakeFirst()
}

export async function findUserByEmail(db: Db, email: string): Promise<UserRow | undefined> {
  return db.selectFrom('users').selectAll().where('email', '=', email).executeTakeFirst()
}

export async function findUser(db: Db | Tx, id: string): Promise<UserRow | undefined> {
  return db
    .selectFrom('users')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

const selectLive = (tx: Tx, userId: string) =>
  tx.selectFrom('users').select('id').where('id', '=', userId).where('deleted_at', 'is', null)

/** Keeps the account from being deleted while the transaction lasts; false when it is gone. */
export async function holdUser(tx: Tx, userId: string): Promise<boolean> {
  return (await selectLive(tx, userId).forKeyShare().executeTakeFirst()) !== undefined
}

/** Keeps everybody else from the account; false when it is gone or its tokens have ended. */
export async function lockUser(tx: Tx, userId: string, tokenVersion: number): Promise<boolean> {
  const row = await selectLive(tx, userId)
    .where('token_version', '=', tokenVersion)
    .forUpdate()
    .executeTakeFirst()
  return row !== undefined
}

/** Whether a token's account, version and id still stand: one read per request. */
export async function hasLiveSession(
  db: Db,
  token: { userId: string; version: number; jti: string },
): Promise<boolean> {
  const row = await db
    .selectFrom('users')
    .select('token_version')
    .where('id', '=', token.userId)
    .where('deleted_at', 'is', null)
    .where('disabled_at', 'is', null)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('revoked_tokens').select('jti').where('jti', '=', token.jti))),
    )
    .executeTakeFirst()
  return row?.token_version === token.version
}

/** Puts one token out of use until it would have ended, and forgets those that have. */
export async function revokeToken(
  db: Db,
  token: { jti: string; userId: string; expiresAt: Date },
): Promise<void> {
  await db
    .insertInto('revoked_tokens')
    .values({ jti: token.jti, user_id: token.userId, expires_at: token.expiresAt })
    .onConflict((conflict) => conflict.column('jti').doNothing())
    .execute()
  await db
    .deleteFrom('revoked_tokens')
    .where('expires_at', '<', sql<Date>`now() - interval '1 day'`)
    .execute()
}

/** Ends every token of an account. */
export async function raiseTokenVersion(db: Db, userId: string): Promise<void> {
  await db
    .updateTable('users')
    .set({ token_version: sql<number>`token_version + 1` })
    .where('id', '=', userId)
    .execute()
}

/**
 * Replaces the password and ends every token; false when they ended meanwhile, as they do with each
 * change. The hash itself would not tell: a rehash changes it and leaves the password.
 */
export async function updatePassword(
  tx: Tx,
  change: { userId: string; version: number; newHash: string },
): Promise<boolean> {
  const result = await tx
    .updateTable('users')
    .set({ password_hash: change.newHash, token_version: sql<number>`token_version + 1` })
    .where('id', '=', change.userId)
    .where('token_version', '=', change.version)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Stores the same password under a newer cost. */
export async function updateHash(
  db: Db,
  change: { userId: string; oldHash: string; newHash: string },
): Promise<void> {
  await db
    .updateTable('users')
    .set({ password_hash: change.newHash })
    .where('id', '=', change.userId)
    .where('password_hash', '=', change.oldHash)
    .execute()
}

/** Sets a password from the operator's side and ends every token. */
export async function overwritePassword(db: Db, email: string, hash: string): Promise<boolean> {
  const result = await db
    .updateTable('users')
    .set({ password_hash: hash, token_version: sql<number>`token_version + 1` })
    .where('email', '=', email)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export async function setDisabled(db: Db, email: string, disabled: boolean): Promise<boolean> {
  const result = await db
    .updateTable('users')
    .set({ disabled_at: disabled ? sql<Date>`now()` : null })
    .where('email', '=', email)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export async function setMonthlyLimit(
  db: Db,
  email: string,
  micros: number | null,
): Promise<boolean> {
  const result = await db
    .updateTable('users')
    .set({ monthly_limit_micros: micros })
    .where('email', '=', email)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Leaves a tombstone: id and time of deletion, no address, no hash. */
export async function buryUser(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom('revoked_tokens').where('user_id', '=', userId).execute()
  await tx
    .updateTable('users')
    .set({
      email: null,
      email_display: null,
      password_hash: null,
      name: null,
      deleted_at: sql<Date>`now()`,
      token_version: sql<number>`token_version + 1`,
    })
    .where('id', '=', userId)
    .where('deleted_at', 'is', null)
    .execute()
}
