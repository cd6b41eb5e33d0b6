import { setTimeout as sleep } from 'node:timers/promises'
import { type Tx, transaction } from '../../db/client.ts'
import type { StoredError } from '../../db/schema.ts'
import { type AppError, isDatabaseTrouble } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import { priceOf, release, type Reservation, settle } from '../usage/usage.service.ts'
import type { NewEvent } from './events.repo.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import {
  type Abandoned,
  type AbandonedRun,
  fail,
  failAbandoned,
  type Run,
  succeed,
} from './runs.repo.ts'
import { expireRecords } from './idempotency.repo.ts'
import { deleteKept } from './kept-images.repo.ts'
import type { Job } from './making.ts'
import type { Result } from './result.ts'
import { deleteSpooled } from './spool.repo.ts'
import { tell } from './telling.ts'
import { countEnd } from './counting.ts'
import { addUsage } from './tokens.ts'

/** An ended generation with its images' rows. */
export interface Ended {
  row: GenerationRow
  images: Awaited<ReturnType<typeof images.listByGeneration>>
  /** False: something else ended it. */
  isOurs: boolean
}

/** What ends, in the name of which run, and as the ledger knows it. */
export type Ending = Pick<Job, 'id' | 'paid' | 'run'>

/** What the provider billed, or may have. */
type Billed = Pick<Result, 'usage' | 'wasted'>

type EndDeps = Pick<Deps, 'urgentDb' | 'settings' | 'log' | 'metrics'>

/** Milliseconds between the tries to end a generation while the database fails. */
const END_RETRIES_MS = [100, 500, 2000]

/**
 * Ends the generation, again if the database failed: the pictures are paid for. A commit whose
 * answer was lost shows as a generation that has succeeded. `beside` joins the transaction.
 */
export async function endSurely(
  deps: EndDeps,
  job: Ending,
  result: Result,
  beside?: (tx: Tx) => Promise<unknown>,
): Promise<Ended | undefined> {
  const ended = await surely(deps, job, () => end(deps, job, result, beside))
  if (ended !== undefined) countEnd(deps, ended.row, upstreamCost(job, result))
  return ended
}

/**
 * Ends it as failed; one whose end cannot be written is ended once its lease has run out. When the
 * database is what failed, the caller has waited long enough: then it is tried once.
 */
export async function endFailed(
  deps: Pick<Deps, 'urgentDb' | 'log' | 'metrics'>,
  job: Ending,
  billed: Billed,
  error: AppError,
): Promise<void> {
  const write = () =>
    transaction(deps.urgentDb, async (tx) => {
      const failed = await fail(tx, runOf(job), storedOf(error), upstreamCost(job, billed))
      if (failed !== undefined) await giveBack(tx, failed)
      return failed
    })
  const failed = await (isDatabaseTrouble(error.cause) ? write() : surely(deps, job, write))
  if (failed !== undefined) countEnd(deps, failed, upstreamCost(job, billed))
}

/** Does it again while the database fails. */
export async function surely<T>(
  { log }: Pick<Deps, 'log'>,
  job: Pick<Job, 'id'>,
  write: () => Promise<T>,
): Promise<T> {
  for (const delayMs of END_RETRIES_MS) {
    try {
      return await write()
    } catch (error) {
      if (!isDatabaseTrouble(error)) throw error
      log.warn({ err: error, generation: job.id }, 'a generation could not be ended; again')
      await sleep(delayMs)
    }
  }
  return write()
}

/** As a reader of the generation is told of it. */
export function storedOf({ code, message, row, headers }: AppError): StoredError {
  const isFinal = headers['x-should-retry'] === 'false'
  return { type: row.type, code, message, ...(isFinal ? { final: true } : {}) }
}

export const runOf = ({ id, paid, run }: Ending): Run => ({
  id,
  attempt: paid.attempt,
  owner: run.owner,
})

/**
 * One transaction: the generation's end, its charge and the images' rows, or none of them. Undefined
 * when something else ended or removed it.
 */
async function end(
  deps: Pick<Deps, 'urgentDb' | 'settings'>,
  job: Ending,
  result: Result,
  beside?: (tx: Tx) => Promise<unknown>,
): Promise<Ended | undefined> {
  const { usage: tokens } = result
  try {
    return await transaction(deps.urgentDb, async (tx) => {
      // First, in the order in which a deletion locks; without the account there is nothing to end.
      if (!(await auth.hold(tx, job.paid.userId))) throw new EndedMeanwhile()
      const row = await succeed(tx, runOf(job), {
        text: result.text,
        warnings: result.warnings,
        input_tokens: tokens.inputTokens,
        output_tokens: tokens.textOutputTokens + tokens.imageOutputTokens,
        cost_micros: priceOf(job.paid, tokens),
        upstream_cost_micros: upstreamCost(job, result),
      })
      if (row === undefined) throw new EndedMeanwhile()
      await settle(tx, job.paid, reservationOf(row), { images: result.images.length, tokens })
      await expireRecords(tx, job.id)
      await letGoOfImages(tx, row)
      await beside?.(tx)
      const rows = await images.record(tx, deps, result.images)
      await tell(tx, row, eventsOf(row, rows.length))
      return { row, images: rows, isOurs: true }
    })
  } catch (error) {
    if (error instanceof EndedMeanwhile) return findEnded(deps, job, result)
    throw error
  }
}

/** Nobody hears of a picture before it is paid for and kept, so all of it is told at the end. */
const eventsOf = ({ text }: GenerationRow, count: number): NewEvent[] => [
  ...(text === null ? [] : [{ type: 'text' } as const]),
  ...Array.from({ length: count }, (_, position) => ({ type: 'image', position }) as const),
  { type: 'succeeded' },
]

/** Ends one whose process died, unless that renewed its lease after all; true when it was ended. */
export async function abandon(
  deps: Pick<Deps, 'db' | 'log' | 'metrics'>,
  run: AbandonedRun,
  error: StoredError,
  options: Abandoned,
): Promise<boolean> {
  const row = await transaction(deps.db, async (tx) => {
    const failed = await failAbandoned(tx, run, error, options)
    if (failed !== undefined) await giveBack(tx, failed)
    return failed
  })
  // What the provider may bill for an attempt of which nothing is known.
  if (row !== undefined) countEnd(deps, row, row.reserved_micros)
  return row !== undefined
}

/** Gives back what a generation that ended without a picture had set aside, and tells of its end. */
export async function giveBack(tx: Tx, row: GenerationRow): Promise<void> {
  await releaseOf(tx, row)
  await letGoOfImages(tx, row)
  // One that is canceled may have pictures that wait for their store, or rest there without a row.
  await images.doom(tx, await deleteSpooled(tx, row.id))
  await tell(tx, row, [{ type: row.status === 'canceled' ? 'canceled' : 'failed' }])
}

/** The copies of the images that came with it. */
async function letGoOfImages(tx: Tx, { id, input_images }: GenerationRow): Promise<void> {
  if (input_images > 0) await images.doom(tx, await deleteKept(tx, id))
}

/** The same for one that goes with its account: nobody is left to be told. */
export async function releaseOf(tx: Tx, row: GenerationRow): Promise<void> {
  const job = {
    userId: row.user_id,
    keyId: row.key_id,
    generationId: row.id,
    attempt: row.attempt,
    mode: row.mode,
    model: row.model,
  }
  await release(tx, job, reservationOf(row))
  await expireRecords(tx, row.id)
}

const reservationOf = (row: GenerationRow): Reservation => ({
  micros: row.reserved_micros,
  day: row.reserved_on,
})

/** Ends one that was set running and for which nothing was asked of the provider. */
export async function endUnbegun(
  deps: Pick<Deps, 'urgentDb' | 'log' | 'metrics'>,
  run: Run,
  error: AppError,
): Promise<void> {
  const failed = await transaction(deps.urgentDb, async (tx) => {
    const row = await fail(tx, run, storedOf(error), 0)
    if (row !== undefined) await giveBack(tx, row)
    return row
  })
  if (failed !== undefined) countEnd(deps, failed, 0)
}

/** What the provider has or may have billed us, failed attempts included, in micro-dollars. */
const upstreamCost = ({ paid }: Ending, { usage, wasted }: Billed): number =>
  priceOf(paid, addUsage([usage, wasted]))

/** The generation as this call ended it before, if it did, or as somebody canceled it. */
export async function findEnded(
  { urgentDb: db }: Pick<Deps, 'urgentDb'>,
  { id, paid }: Ending,
  result: Pick<Result, 'images'>,
): Promise<Ended | undefined> {
  const row = await findGeneration(db, { userId: paid.userId, mode: undefined }, id)
  if (row === undefined || row.attempt !== paid.attempt) return undefined
  if (row.status === 'canceled') return { row, images: [], isOurs: false }
  if (row.status !== 'succeeded') return undefined
  const rows = await images.listByGeneration(db, paid.userId, [id])
  // Another run may have ended it, with other pictures.
  const isOurs = result.images.some((image) => image.row.id === rows[0]?.id)
  return { row, images: rows, isOurs }
}

/** Rolls the transaction back. */
class EndedMeanwhile extends Error {
  override readonly name = 'EndedMeanwhile'
}
