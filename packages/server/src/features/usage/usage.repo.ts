import type { Mode } from '@nanobanana/shared'
import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import { currentMonth, today } from './utc.repo.ts'

/** Micro-dollars that each account or key spent in this UTC month; one without any is absent. */
export async function selectSpending(
  db: Db | Tx,
  ownerIds: readonly string[],
): Promise<Map<string, number>> {
  if (ownerIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('spending')
    .select(['owner_id', 'micros'])
    .where('owner_id', 'in', ownerIds)
    .where('month', '=', currentMonth)
    .execute()
  return new Map(rows.map((row) => [row.owner_id, row.micros]))
}

/** What one row of a report stands for; a closed map, since it names a column. */
const GROUPS = {
  day: sql<string | null>`day`,
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

/** Sums per group over UTC days, both ends included; newest or dearest group first, equals by name. */
export async function sumByGroup(
  db: Db,
  query: { userId: string; mode: Mode; from: string; to: string; groupBy: UsageGroup },
): Promise<UsageFigures[]> {
  const group = GROUPS[query.groupBy]
  return db
    .selectFrom('usage_days')
    .select([
      group.as('group'),
      sql<number>`sum(requests)::bigint`.as('requests'),
      sql<number>`sum(images)::bigint`.as('images'),
      sql<number>`sum(input_tokens)::bigint`.as('input_tokens'),
      sql<number>`sum(output_tokens)::bigint`.as('output_tokens'),
      sql<number>`sum(cost_micros)::bigint`.as('cost_micros'),
    ])
    .where('user_id', '=', query.userId)
    .where('mode', '=', query.mode)
    .where('day', '>=', query.from)
    .where('day', '<=', query.to)
    .groupBy(group)
    .orderBy(query.groupBy === 'day' ? group : sql`sum(cost_micros)`, 'desc')
    .orderBy(group)
    .execute()
}

/** Today in UTC by the database's clock, YYYY-MM-DD. */
export async function selectToday(db: Db): Promise<string> {
  return (await db.selectNoFrom(today.as('today')).executeTakeFirstOrThrow()).today
}
