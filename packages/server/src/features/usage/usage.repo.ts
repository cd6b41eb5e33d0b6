import type { Mode } from '@nanobanana/shared'
import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'

/** The database's month in UTC, YYYY-MM. */
const currentMonth = sql<string>`to_char(now() at time zone 'UTC', 'YYYY-MM')`

export interface NewUsage {
  id: string
  user_id: string
  key_id: string | null
  generation_id: string
  mode: Mode
  model: string
  images: number
  input_tokens: number
  text_output_tokens: number
  image_output_tokens: number
  cost_micros: number
  prices_as_of: string
}

export async function insertUsage(tx: Tx, row: NewUsage): Promise<void> {
  await tx
    .insertInto('usage')
    .values({ ...row, month: currentMonth })
    .execute()
}

/** Micro-dollars the account spent in this UTC month. */
export async function sumMonthOfUser(db: Db | Tx, userId: string): Promise<number> {
  const row = await db
    .selectFrom('usage')
    .select(sql<number>`coalesce(sum(cost_micros), 0)::bigint`.as('micros'))
    .where('user_id', '=', userId)
    .where('month', '=', currentMonth)
    .executeTakeFirstOrThrow()
  return row.micros
}

/** Micro-dollars each of the keys spent in this UTC month; a key without usage is absent. */
export async function sumMonthOfKeys(
  db: Db | Tx,
  userId: string,
  keyIds: readonly string[],
): Promise<Map<string, number>> {
  if (keyIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('usage')
    .select(['key_id', sql<number>`sum(cost_micros)::bigint`.as('micros')])
    .where('user_id', '=', userId)
    .where('month', '=', currentMonth)
    .where('key_id', 'in', keyIds)
    .groupBy('key_id')
    .execute()
  return new Map(rows.map((row) => [row.key_id ?? '', row.micros]))
}

/** What one row of a report stands for; a closed map, since it names a column. */
const GROUPS = {
  day: sql<string | null>`to_char(created_at at time zone 'UTC', 'YYYY-MM-DD')`,
  key: sql<string | null>`key_id::text`,
  model: sql<string | null>`model`,
} as const
export type UsageGroup = keyof typeof GROUPS

export interface UsageFigures {
  group: string | null
  requests: number
  images: number
  input_tokens: number
  output_tokens: number
  cost_micros: number
}

/** Sums per group over UTC days, both ends included; newest or dearest group first. */
export async function sumByGroup(
  db: Db,
  query: { userId: string; mode: Mode; from: string; to: string; groupBy: UsageGroup },
): Promise<UsageFigures[]> {
  const group = GROUPS[query.groupBy]
  return db
    .selectFrom('usage')
    .select([
      group.as('group'),
      sql<number>`count(*)::bigint`.as('requests'),
      sql<number>`sum(images)::bigint`.as('images'),
      sql<number>`sum(input_tokens)::bigint`.as('input_tokens'),
      sql<number>`sum(text_output_tokens + image_output_tokens)::bigint`.as('output_tokens'),
      sql<number>`sum(cost_micros)::bigint`.as('cost_micros'),
    ])
    .where('user_id', '=', query.userId)
    .where('mode', '=', query.mode)
    .where('created_at', '>=', sql<Date>`${query.from}::date::timestamp at time zone 'UTC'`)
    .where('created_at', '<', sql<Date>`(${query.to}::date + 1)::timestamp at time zone 'UTC'`)
    .groupBy(group)
    .orderBy(query.groupBy === 'day' ? group : sql`sum(cost_micros)`, 'desc')
    .execute()
}

/** Today in UTC by the database's clock, YYYY-MM-DD. */
export async function selectToday(db: Db): Promise<string> {
  const { rows } = await sql<{ today: string }>`
    select to_char(now() at time zone 'UTC', 'YYYY-MM-DD') as today`.execute(db)
  return rows[0]?.today ?? ''
}
