import { type Insertable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { UsageDaysTable, UsageTable } from '../../db/schema.ts'
import { currentMonth, today } from './utc.repo.ts'

/** Whose money: an account's, and that of a key where one was used. */
export interface Payer {
  userId: string
  /** Null: made with an access token. */
  keyId: string | null
}

/**
 * Adds to what the account spends in this month unless that would pass its limit; false: it would.
 * One statement, and its row stays locked: of parallel calls each sees the sum of those before.
 */
export async function raiseOfAccount(
  tx: Tx,
  userId: string,
  micros: number,
  defaultLimitMicros: number | null,
): Promise<boolean> {
  const limit = sql`(select coalesce(monthly_limit_micros, ${defaultLimitMicros}::bigint)
    from users where id = ${userId})`
  return raise(tx, userId, micros, limit)
}

export async function raiseOfKey(tx: Tx, keyId: string, micros: number): Promise<boolean> {
  return raise(
    tx,
    keyId,
    micros,
    sql`(select monthly_limit_micros from api_keys where id = ${keyId})`,
  )
}

async function raise(
  tx: Tx,
  ownerId: string,
  micros: number,
  limit: ReturnType<typeof sql>,
): Promise<boolean> {
  const { rows } = await sql`
    insert into spending (owner_id, month, micros)
    select ${ownerId}, ${currentMonth}, ${micros}::bigint
    where coalesce(${micros}::bigint <= ${limit}, true)
    on conflict (owner_id, month) do update
      set micros = spending.micros + excluded.micros
      where coalesce(spending.micros + excluded.micros <= ${limit}, true)
    returning micros`.execute(tx)
  return rows.length > 0
}

/**
 * Which of the limits would be passed by now. Nothing is locked, so that refusals hold up nobody;
 * `raiseOfAccount` and `raiseOfKey` decide.
 */
export async function findExceeded(
  db: Db,
  { userId, keyId }: Payer,
  micros: number,
  defaultLimitMicros: number | null,
): Promise<'account' | 'API key' | undefined> {
  const spent = (ownerId: string) =>
    sql`coalesce((select micros from spending where owner_id = ${ownerId} and month = ${currentMonth}), 0)`
  const { rows } = await sql<{ account: boolean | null; key: boolean | null }>`
    select
      (select ${spent(userId)} + ${micros}::bigint > coalesce(monthly_limit_micros, ${defaultLimitMicros}::bigint)
        from users where id = ${userId}) as account,
      (select ${spent(keyId ?? userId)} + ${micros}::bigint > monthly_limit_micros
        from api_keys where id = ${keyId}) as key`.execute(db)
  if (rows[0]?.account === true) return 'account'
  return rows[0]?.key === true ? 'API key' : undefined
}

/** Changes what was reserved to what it came to, in the month of the reservation. */
export async function adjustSpending(
  tx: Tx,
  { userId, keyId }: Payer,
  day: string,
  micros: number,
): Promise<void> {
  // The account first, as reservations do: two in another order could wait for each other.
  for (const ownerId of keyId === null ? [userId] : [userId, keyId]) {
    await tx
      .updateTable('spending')
      .set({ micros: sql<number>`micros + ${micros}::bigint` })
      .where('owner_id', '=', ownerId)
      .where('month', '=', day.slice(0, 7))
      .execute()
  }
}

export type LedgerRow = Omit<Insertable<UsageTable>, 'day' | 'created_at'>

/** Adds a row to the ledger; of today, or of the day given. Answers its day. */
export async function insertLedger(tx: Tx, row: LedgerRow, day?: string): Promise<string> {
  const inserted = await tx
    .insertInto('usage')
    .values({ ...row, day: day ?? today })
    .returning('day')
    .executeTakeFirstOrThrow()
  return inserted.day
}

export type DayFigures = Omit<UsageDaysTable, 'requests'>

/** Adds one settled generation to the sums that reports read. */
export async function addToDay(tx: Tx, figures: DayFigures): Promise<void> {
  const plus = (column: string) =>
    sql<number>`usage_days.${sql.ref(column)} + excluded.${sql.ref(column)}`
  await tx
    .insertInto('usage_days')
    .values({ ...figures, requests: 1 })
    .onConflict((conflict) =>
      conflict.columns(['user_id', 'mode', 'day', 'key_id', 'model']).doUpdateSet({
        requests: plus('requests'),
        images: plus('images'),
        input_tokens: plus('input_tokens'),
        output_tokens: plus('output_tokens'),
        cost_micros: plus('cost_micros'),
      }),
    )
    .execute()
}
