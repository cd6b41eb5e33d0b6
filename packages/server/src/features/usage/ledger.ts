import type { Mode, Model } from '@nanobanana/shared'
import type { Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { newUuid } from '../../kernel/ids.ts'
import {
  addToDay,
  adjustSpending,
  findExceeded,
  insertLedger,
  type Payer,
  raiseOfAccount,
  raiseOfKey,
} from './ledger.repo.ts'
import { type BilledTokens, priceMicros } from './price.ts'

/** A generation as the ledger sees it. */
export interface Job extends Payer {
  generationId: string
  attempt: number
  mode: Mode
  model: Model
}

/** Money that is set aside for a job until it ends. */
export interface Reservation {
  micros: number
  /** UTC day it was made, YYYY-MM-DD; its month is charged. */
  day: string
}

/** Price in micro-dollars; test mode is free. */
export const priceOf = (job: Pick<Job, 'mode' | 'model'>, tokens: BilledTokens): number =>
  job.mode === 'live' ? priceMicros(tokens, job.model.prices) : 0

/** Refuses what no month's counter has room for by now, before a transaction is begun for it. */
export async function refuseExceeded(
  { db, settings }: Pick<Deps, 'db' | 'settings'>,
  job: Job,
  micros: number,
): Promise<void> {
  if (job.mode !== 'live') return
  const owner = await findExceeded(db, job, micros, settings.defaultMonthlyLimitMicros)
  if (owner !== undefined) throw exceeded(owner)
}

/**
 * Sets money aside on the month's counters of account and key, or throws `budget_exceeded`: the
 * transaction must then end, so that neither counter has moved.
 */
export async function reserve(
  tx: Tx,
  { settings }: Pick<Deps, 'settings'>,
  job: Job,
  micros: number,
): Promise<Reservation> {
  if (job.mode === 'live') await raiseCounters(tx, settings.defaultMonthlyLimitMicros, job, micros)
  return { micros, day: await insertLedger(tx, rowOf(job, 'reserve', -micros)) }
}

async function raiseCounters(
  tx: Tx,
  defaultLimitMicros: number | null,
  { userId, keyId }: Payer,
  micros: number,
): Promise<void> {
  if (!(await raiseOfAccount(tx, userId, micros, defaultLimitMicros))) throw exceeded('account')
  if (keyId !== null && !(await raiseOfKey(tx, keyId, micros))) throw exceeded('API key')
}

const exceeded = (owner: 'account' | 'API key'): AppError =>
  new AppError('budget_exceeded', `The monthly limit of the ${owner} does not allow this.`)

/** Charges a job that succeeded; answers what it cost in micro-dollars. */
export async function settle(
  tx: Tx,
  job: Job,
  reservation: Reservation,
  result: { images: number; tokens: BilledTokens },
): Promise<number> {
  const { tokens, images } = result
  const cost = priceOf(job, tokens)
  await insertLedger(
    tx,
    {
      ...rowOf(job, 'settle', reservation.micros - cost),
      images,
      input_tokens: tokens.inputTokens,
      text_output_tokens: tokens.textOutputTokens,
      image_output_tokens: tokens.imageOutputTokens,
    },
    reservation.day,
  )
  if (job.mode === 'live') {
    await adjustSpending(tx, job, reservation.day, cost - reservation.micros)
  }
  await addToDay(tx, {
    user_id: job.userId,
    mode: job.mode,
    day: reservation.day,
    key_id: job.keyId,
    model: job.model.id,
    images,
    input_tokens: tokens.inputTokens,
    output_tokens: tokens.textOutputTokens + tokens.imageOutputTokens,
    cost_micros: cost,
  })
  return cost
}

/** Gives back all that was set aside for a job that failed or was canceled. */
export async function release(
  tx: Tx,
  job: Omit<Job, 'model'> & { model: string },
  reservation: Reservation,
): Promise<void> {
  await insertLedger(tx, rowOf(job, 'release', reservation.micros), reservation.day)
  if (job.mode === 'live') await adjustSpending(tx, job, reservation.day, -reservation.micros)
}

const rowOf = (
  job: Omit<Job, 'model'> & { model: Model | string },
  kind: 'reserve' | 'settle' | 'release',
  amountMicros: number,
) => ({
  id: newUuid(),
  kind,
  user_id: job.userId,
  key_id: job.keyId,
  generation_id: job.generationId,
  attempt: job.attempt,
  mode: job.mode,
  ...modelOf(job.model),
  // -0 is a value of its own in JavaScript.
  amount_micros: amountMicros === 0 ? 0 : amountMicros,
})

/** By its id alone, the model may have left the catalogue meanwhile; then no price is applied. */
const modelOf = (model: Model | string) =>
  typeof model === 'string'
    ? { model, prices_as_of: null }
    : { model: model.id, prices_as_of: model.pricesAsOf }
