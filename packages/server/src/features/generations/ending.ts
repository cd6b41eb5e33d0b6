import { setTimeout as sleep } from 'node:timers/promises'
import { transaction } from '../../db/client.ts'
import { isDatabaseTrouble } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import { priceOf, settle } from '../usage/usage.service.ts'
import { findGeneration, type GenerationRow, succeed } from './generations.repo.ts'
import type { Job, Made } from './making.ts'
import { addUsage } from './tokens.ts'
import { warningsOfResult } from './warnings.ts'

/** An ended generation with its images' rows. */
export interface Ended {
  row: GenerationRow
  images: Awaited<ReturnType<typeof images.listByGeneration>>
}

/** Milliseconds between the tries to end a generation while the database fails. */
const END_RETRIES_MS = [100, 500, 2000]

/**
 * Ends the generation, again if the database failed: the pictures are paid for. A commit whose answer
 * was lost shows as a generation that has succeeded.
 */
export async function endSurely(
  deps: Pick<Deps, 'db' | 'settings' | 'log'>,
  principal: Principal,
  job: Job,
  made: Made,
): Promise<Ended | undefined> {
  for (const delayMs of END_RETRIES_MS) {
    try {
      return await end(deps, principal, job, made)
    } catch (error) {
      if (!isDatabaseTrouble(error)) throw error
      deps.log.warn({ err: error, generation: job.id }, 'a generation could not be ended; again')
      await sleep(delayMs)
    }
  }
  return end(deps, principal, job, made)
}

/**
 * One transaction: the generation's end, its charge and the images' rows, or none of them. Undefined
 * when something else ended or removed it.
 */
async function end(
  deps: Pick<Deps, 'db' | 'settings'>,
  principal: Principal,
  job: Job,
  made: Made,
): Promise<Ended | undefined> {
  const { usage: tokens } = made
  const charge = {
    userId: principal.userId,
    keyId: principal.kind === 'key' ? principal.keyId : null,
    generationId: job.id,
    mode: job.mode,
    model: job.model,
    images: made.images.length,
    tokens,
  }
  try {
    return await transaction(deps.db, async (tx) => {
      // First, in the order in which a deletion locks; without the account there is nothing to end.
      if (!(await auth.hold(tx, principal.userId))) throw new EndedMeanwhile()
      const row = await succeed(tx, job.id, {
        text: made.text,
        warnings: warningsOfResult(job, made.images, made.failures),
        input_tokens: tokens.inputTokens,
        output_tokens: tokens.textOutputTokens + tokens.imageOutputTokens,
        cost_micros: priceOf(charge),
        upstream_cost_micros: upstreamCost(job, made),
      })
      if (row === undefined) throw new EndedMeanwhile()
      await settle(tx, charge)
      return { row, images: await images.record(tx, deps, made.images) }
    })
  } catch (error) {
    if (error instanceof EndedMeanwhile) return findEnded(deps, principal, job.id)
    throw error
  }
}

/** What the provider has or may have billed us, failed attempts included, in micro-dollars. */
export const upstreamCost = (job: Pick<Job, 'mode' | 'model'>, made: Made): number =>
  priceOf({ ...job, tokens: addUsage([made.usage, made.wasted]) })

/** The generation as this call ended it before, if it did. */
async function findEnded(
  deps: Pick<Deps, 'db'>,
  principal: Principal,
  id: string,
): Promise<Ended | undefined> {
  const row = await findGeneration(deps.db, { userId: principal.userId, mode: undefined }, id)
  if (row?.status !== 'succeeded') return undefined
  return { row, images: await images.listByGeneration(deps.db, principal.userId, [id]) }
}

/** Rolls the transaction back. */
class EndedMeanwhile extends Error {
  override readonly name = 'EndedMeanwhile'
}
