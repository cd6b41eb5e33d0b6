import { USAGE_MAX_DAYS, type Usage, type UsageInput, type UsageRow } from '@nanobanana/shared'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import { usdOf } from '../../kernel/money.ts'
import { modeOf, type Principal } from '../../kernel/principal.ts'
import { selectSpending, selectToday, sumByGroup, type UsageFigures } from './usage.repo.ts'

export type { BilledTokens } from './price.ts'
export {
  type Job,
  priceOf,
  refuseExceeded,
  release,
  reserve,
  type Reservation,
  settle,
} from './ledger.ts'

/**
 * Micro-dollars that accounts or keys spent in this UTC month, with what their running generations
 * have set aside; one without any is absent.
 */
export const spentThisMonth = (
  db: Db | Tx,
  ownerIds: readonly string[],
): Promise<Map<string, number>> => selectSpending(db, ownerIds)

export async function report(
  deps: Pick<Deps, 'db'>,
  principal: Principal,
  input: UsageInput,
): Promise<Usage> {
  const to = input.to ?? (await selectToday(deps.db))
  const from = input.from ?? `${to.slice(0, 8)}01`
  checkRange(from, to)
  const rows = await sumByGroup(deps.db, {
    userId: principal.userId,
    mode: modeOf(principal, input.mode),
    from,
    to,
    groupBy: input.group_by,
  })
  return { data: rows.map((row) => toRow(row, input.group_by)), total: total(rows) }
}

const DAY_MS = 86_400_000

function checkRange(from: string, to: string): void {
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1
  if (days < 1)
    throw new AppError('invalid_input', 'from: must not lie after to.', { param: 'from' })
  if (days > USAGE_MAX_DAYS) {
    throw new AppError('invalid_input', `from: the range is limited to ${USAGE_MAX_DAYS} days.`, {
      param: 'from',
    })
  }
}

const figuresOf = (row: Omit<UsageFigures, 'group'>) => ({
  requests: row.requests,
  images: row.images,
  input_tokens: row.input_tokens,
  output_tokens: row.output_tokens,
  cost_usd: usdOf(row.cost_micros),
})

function toRow(row: UsageFigures, groupBy: UsageInput['group_by']): UsageRow {
  const figures = figuresOf(row)
  if (groupBy === 'key') {
    return { key_id: row.group === null ? null : idOf('key', row.group), ...figures }
  }
  return groupBy === 'day'
    ? { day: row.group ?? '', ...figures }
    : { model: row.group ?? '', ...figures }
}

function total(rows: readonly UsageFigures[]) {
  const sum = { requests: 0, images: 0, input_tokens: 0, output_tokens: 0, cost_micros: 0 }
  for (const row of rows) {
    sum.requests += row.requests
    sum.images += row.images
    sum.input_tokens += row.input_tokens
    sum.output_tokens += row.output_tokens
    sum.cost_micros += row.cost_micros
  }
  return figuresOf(sum)
}
