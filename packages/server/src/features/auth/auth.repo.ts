import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { UsersTable } from '../../db/schema.ts'

export type UserRow = Selectable<UsersTable>

/** Registers an account; undefined when the normalised address is taken. */
export async function insertUser(
  tx: Tx,
  row: {
    id: string
    email: string
    email_display: string
    password_hash: string
    name: string | null
  },
): Promise<UserRow | undefined> {
  return tx
    .insertInto('users')
    .values(row)
    .onConflict((conflict) => conflict.column('email').doNothing())
    .returningAll()
    .executeTakeFirst()
}

export async function findUserByEmail(db: Db | Tx, email: string): Promise<UserRow | undefined> {
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

/** Puts one token out of use until it would have ended; false when it was before. */
export async function revokeToken(
  tx: Tx,
  token: { jti: string; userId: string; expiresAt: Date },
): Promise<boolean> {
  const rows = await tx
    .insertInto('revoked_tokens')
    .values({ jti: token.jti, user_id: token.userId, expires_at: token.expiresAt })
    .onConflict((conflict) => conflict.column('jti').doNothing())
    .returning('jti')
    .execute()
  return rows.length > 0
}

/** Forgets tokens that have ended by themselves; a day late, for processes whose clock is slow. */
export async function deleteEndedTokens(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from revoked_tokens where jti in (
      select jti from revoked_tokens
      where expires_at < now() - interval '1 day' limit ${limit}::int for update skip locked
    ) returning jti`.execute(db)
  return rows.length
}

/** Ends every token of an account. */
export async function raiseTokenVersion(tx: Tx, userId: string): Promise<void> {
  await tx
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

/** What an operator changes of an account named by its address; the id, or undefined: there is none. */
export async function changeUser(
  tx: Tx,
  email: string,
  change: UserChange,
): Promise<string | undefined> {
  const row = await tx
    .updateTable('users')
    .set(columnsOf(change))
    .where('email', '=', email)
    .returning('id')
    .executeTakeFirst()
  return row?.id
}

export type UserChange =
  /** Ends every token too. */
  | { readonly passwordHash: string }
  | { readonly disabled: boolean }
  | { readonly monthlyLimitMicros: number | null }

function columnsOf(change: UserChange) {
  if ('passwordHash' in change) {
    return { password_hash: change.passwordHash, token_version: sql<number>`token_version + 1` }
  }
  if ('disabled' in change) return { disabled_at: change.disabled ? sql<Date>`now()` : null }
  return { monthly_limit_micros: change.monthlyLimitMicros }
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
