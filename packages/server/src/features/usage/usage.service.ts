import {
  type Mode,
  type Model,
  USAGE_MAX_DAYS,
  type Usage,
  type UsageInput,
  type UsageRow,
} from '@nanobanana/shared'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid } from '../../kernel/ids.ts'
import { usdOf } from '../../kernel/money.ts'
import { modeOf, type Principal } from '../../kernel/principal.ts'
import { type BilledTokens, priceMicros } from './price.ts'
import {
  insertUsage,
  selectToday,
  sumByGroup,
  sumMonthOfKeys,
  sumMonthOfUser,
  type UsageFigures,
} from './usage.repo.ts'

export interface Charge {
  userId: string
  /** Null: made with an access token. */
  keyId: string | null
  generationId: string
  mode: Mode
  model: Model
  images: number
  tokens: BilledTokens
}

/** Price of a charge in micro-dollars; test mode is free. */
export const priceOf = (charge: Pick<Charge, 'mode' | 'model' | 'tokens'>): number =>
  charge.mode === 'live' ? priceMicros(charge.tokens, charge.model.prices) : 0

/** Records what a generation used and what it costs. */
export async function settle(tx: Tx, charge: Charge): Promise<void> {
  await insertUsage(tx, {
    id: newUuid(),
    user_id: charge.userId,
    key_id: charge.keyId,
    generation_id: charge.generationId,
    mode: charge.mode,
    model: charge.model.id,
    images: charge.images,
    input_tokens: charge.tokens.inputTokens,
    text_output_tokens: charge.tokens.textOutputTokens,
    image_output_tokens: charge.tokens.imageOutputTokens,
    cost_micros: priceOf(charge),
    prices_as_of: charge.model.pricesAsOf,
  })
}

/** Micro-dollars an account spent in this UTC month. */
export const spentThisMonth = (db: Db | Tx, userId: string): Promise<number> =>
  sumMonthOfUser(db, userId)

/** Micro-dollars by key in this UTC month; a key without usage is absent. */
export const spentThisMonthByKey = (
  db: Db | Tx,
  userId: string,
  keyIds: readonly string[],
): Promise<Map<string, number>> => sumMonthOfKeys(db, userId, keyIds)

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
