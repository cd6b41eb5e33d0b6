import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'

/** Longest wait after failures in a row: 15 minutes. */
const MAX_WAIT_SECONDS = 900

/**
 * Counts one attempt unless the address must wait or is stopped, and answers how many failures in a
 * row it would make; undefined: it was not counted.
 */
export async function countAttempt(
  db: Db,
  address: Uint8Array,
  limits: { free: number; max: number },
): Promise<number | undefined> {
  // 2, 4, 8 … seconds from the last free failure on.
  const wait = sql<number>`least(power(2, login_attempts.failures + 2 - ${limits.free}::int), ${MAX_WAIT_SECONDS}::int)`
  const row = await db
    .insertInto('login_attempts')
    .values({ address, failures: 1, retry_at: null })
    .onConflict((conflict) =>
      conflict
        .column('address')
        .doUpdateSet({
          failures: sql<number>`login_attempts.failures + 1`,
          retry_at: sql<Date | null>`case when login_attempts.failures + 1 >= ${limits.free}::int
            then now() + make_interval(secs => ${wait}) end`,
          attempted_at: sql<Date>`now()`,
        })
        .where('login_attempts.failures', '<', limits.max)
        .where(sql<boolean>`coalesce(login_attempts.retry_at <= now(), true)`),
    )
    .returning('failures')
    .executeTakeFirst()
  return row?.failures
}

export async function findAttempts(
  db: Db,
  address: Uint8Array,
): Promise<{ failures: number; wait_seconds: number | null } | undefined> {
  return db
    .selectFrom('login_attempts')
    .select([
      'failures',
      sql<number | null>`extract(epoch from retry_at - now())::float8`.as('wait_seconds'),
    ])
    .where('address', '=', address)
    .executeTakeFirst()
}

/** Counts one attempt less and ends the wait that it began, not one that a later attempt began. */
export async function uncountAttempt(db: Db, address: Uint8Array, failures: number): Promise<void> {
  await db
    .updateTable('login_attempts')
    .set({
      failures: sql<number>`failures - 1`,
      retry_at: sql<Date | null>`case when failures > ${failures}::int then retry_at end`,
    })
    .where('address', '=', address)
    .where('failures', '>', 0)
    .execute()
}

export async function deleteAttempts(db: Db | Tx, address: Uint8Array): Promise<void> {
  await db.deleteFrom('login_attempts').where('address', '=', address).execute()
}

/** Forgets addresses that nobody tried for 30 days, but those that are stopped for good. */
export async function deleteOldAttempts(db: Db, max: number, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from login_attempts where attempted_at < now() - interval '30 days' and address in (
      select address from login_attempts
      where attempted_at < now() - interval '30 days' and failures < ${max}::int
      limit ${limit}::int for update skip locked
    ) returning address`.execute(db)
  return rows.length
}
