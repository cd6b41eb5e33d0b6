import { setTimeout as sleep } from 'node:timers/promises'
import {
  ERRORS,
  type GenerateInput,
  type Generation,
  type ListGenerationsInput,
} from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import { AppError, isDatabaseTrouble, toAppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid, parseId, uuidOf } from '../../kernel/ids.ts'
import { modeOf, type Principal } from '../../kernel/principal.ts'
import { type ImageProvider, type ImageResult, ProviderError } from '../../ports/image-provider.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import { priceOf, settle } from '../usage/usage.service.ts'
import {
  deleteGenerationsOfUser,
  fail,
  failAbandoned,
  findGeneration,
  type GenerationRow,
  insertRunning,
  listGenerations,
  type NewGeneration,
  succeed,
  type Visible,
} from './generations.repo.ts'
import { render } from './render.ts'
import { type CheckedRequest, checkRequest } from './request.ts'
import { warningsOf } from './warnings.ts'

export type GenerateDeps = Pick<
  Deps,
  'db' | 'providers' | 'objectStore' | 'codec' | 'catalogue' | 'settings' | 'log'
>

/**
 * Added to the upstream's total deadline: time to store the picture (three attempts of 30 s) and to
 * end the generation.
 */
const LEASE_MARGIN_SECONDS = 180

/**
 * Makes a picture and waits for it. `onCommitted` hears the generation's id once its row is
 * committed, which is before the provider is asked.
 */
export async function generate(
  deps: GenerateDeps,
  principal: Principal,
  input: GenerateInput,
  onCommitted: (id: string) => void,
): Promise<Generation> {
  const request = checkRequest(deps.catalogue, deps.settings.defaultModel, principal, input)
  const provider = requireProvider(deps, request)
  const id = newUuid()
  await begin(deps, principal, {
    id,
    user_id: principal.userId,
    key_id: principal.kind === 'key' ? principal.keyId : null,
    mode: request.mode,
    model: request.model.id,
    prompt: input.prompt,
    aspect_ratio: request.aspectRatio ?? null,
    size: request.size,
    n: 1,
    metadata: input.metadata ?? {},
    end_user: input.user ?? null,
    leaseSeconds: Math.ceil(deps.settings.upstreamTimeoutMs / 1000) + LEASE_MARGIN_SECONDS,
  })
  onCommitted(idOf('gen', id))
  const job = { id, prompt: input.prompt, ...request }
  try {
    const result = await callProvider(deps, provider, job)
    return await keep(deps, principal, job, result).catch(refuseRepeat)
  } catch (error) {
    throw await recordFailure(deps, id, error)
  }
}

/** Commits the row, unless the account was deleted since the request was let in. */
function begin(
  deps: Pick<Deps, 'db'>,
  principal: Principal,
  generation: NewGeneration,
): Promise<void> {
  return transaction(deps.db, async (tx) => {
    if (!(await auth.hold(tx, principal.userId))) {
      throw new AppError(principal.kind === 'key' ? 'invalid_api_key' : 'invalid_token')
    }
    await insertRunning(tx, generation)
  })
}

type Job = CheckedRequest & { id: string; prompt: string }

/** Stores the picture that the provider was paid for, and ends the generation. */
async function keep(
  deps: GenerateDeps,
  principal: Principal,
  job: Job,
  result: ImageResult,
): Promise<Generation> {
  const owner = { userId: principal.userId, generationId: job.id, position: 0 }
  const image = await images.store(deps, owner, result.bytes)
  const ended = await endSurely(deps, principal, job, result, image)
  if (ended === undefined) {
    // Deleted or ended meanwhile: nobody can reach the object any more.
    await images.deleteObjects(deps, [image.row])
    throw new AppError('unavailable', 'The generation was ended while it ran; nothing was charged.')
  }
  return render(deps, ended.row, ended.images, 'data-url')
}

/** The provider was paid: a repeat would buy again what may be there to be read by its id. */
function refuseRepeat(error: unknown): never {
  const { code, message, retryAfterSeconds, headers } = toAppError(error)
  throw new AppError(code, message, {
    retryAfterSeconds,
    headers: { ...headers, 'x-should-retry': 'false' },
    cause: error,
  })
}

async function callProvider(
  deps: Pick<Deps, 'settings'>,
  provider: ImageProvider,
  job: Job,
): Promise<ImageResult> {
  const signal = AbortSignal.timeout(deps.settings.upstreamTimeoutMs)
  try {
    return await provider.generate({
      model: job.model,
      prompt: job.prompt,
      ...(job.aspectRatio === undefined ? {} : { aspectRatio: job.aspectRatio }),
      size: job.size,
      signal,
    })
  } catch (error) {
    if (error instanceof ProviderError) throw fromProvider(error)
    if (signal.aborted) throw new AppError('upstream_timeout', undefined, { retryAfterSeconds: 5 })
    throw error
  }
}

const DEFAULT_RETRY_SECONDS = 5

function fromProvider(error: ProviderError): AppError {
  const { code, message, retryAfterMs } = error
  const retryAfterSeconds = retryAfterMs === undefined ? DEFAULT_RETRY_SECONDS : retryAfterMs / 1000
  return new AppError(code, message, {
    cause: error,
    ...(ERRORS[code].retryable ? { retryAfterSeconds } : {}),
  })
}

interface Ended {
  row: GenerationRow
  images: Awaited<ReturnType<typeof images.listByGeneration>>
}

/** Milliseconds between the tries to end a generation while the database fails. */
const END_RETRIES_MS = [100, 500, 2000]

/**
 * Ends the generation, again if the database failed: the picture is paid for. A commit whose answer
 * was lost shows as a generation that has succeeded.
 */
async function endSurely(
  deps: Pick<Deps, 'db' | 'settings' | 'log'>,
  principal: Principal,
  job: Job,
  result: ImageResult,
  image: images.StoredImage,
): Promise<Ended | undefined> {
  for (const delayMs of END_RETRIES_MS) {
    try {
      return await end(deps, principal, job, result, image)
    } catch (error) {
      if (!isDatabaseTrouble(error)) throw error
      deps.log.warn({ err: error, generation: job.id }, 'a generation could not be ended; again')
      await sleep(delayMs)
    }
  }
  return end(deps, principal, job, result, image)
}

/**
 * One transaction: the generation's end, its charge and the image's row, or none of them. Undefined
 * when something else ended or removed it.
 */
async function end(
  deps: Pick<Deps, 'db' | 'settings'>,
  principal: Principal,
  job: Job,
  result: ImageResult,
  image: images.StoredImage,
): Promise<Ended | undefined> {
  const { usage: tokens } = result
  const charge = {
    userId: principal.userId,
    keyId: principal.kind === 'key' ? principal.keyId : null,
    generationId: job.id,
    mode: job.mode,
    model: job.model,
    images: 1,
    tokens,
  }
  try {
    return await transaction(deps.db, async (tx) => {
      // First, in the order in which a deletion locks; without the account there is nothing to end.
      if (!(await auth.hold(tx, principal.userId))) throw new EndedMeanwhile()
      const row = await succeed(tx, job.id, {
        text: result.text,
        warnings: warningsOf(job, image.row),
        input_tokens: tokens.inputTokens,
        output_tokens: tokens.textOutputTokens + tokens.imageOutputTokens,
        cost_micros: priceOf(charge),
      })
      if (row === undefined) throw new EndedMeanwhile()
      await settle(tx, charge)
      return { row, images: [await images.record(tx, deps, image)] }
    })
  } catch (error) {
    if (error instanceof EndedMeanwhile) return findEnded(deps, principal, job.id)
    throw error
  }
}

/** The generation as this call ended it before, if it did. */
async function findEnded(
  deps: Pick<Deps, 'db'>,
  principal: Principal,
  id: string,
): Promise<Ended | undefined> {
  const row = await findGeneration(deps.db, visibleTo(principal), id)
  if (row?.status !== 'succeeded') return undefined
  return { row, images: await images.listByGeneration(deps.db, principal.userId, [id]) }
}

/** Rolls the transaction back. */
class EndedMeanwhile extends Error {
  override readonly name = 'EndedMeanwhile'
}

/** Ends the generation as failed and answers what the caller is told. */
async function recordFailure(
  deps: Pick<Deps, 'db' | 'log'>,
  id: string,
  error: unknown,
): Promise<AppError> {
  const appError = toAppError(error)
  const { type } = appError.row
  try {
    await fail(deps.db, id, { type, code: appError.code, message: appError.message })
  } catch (cause) {
    deps.log.error({ err: cause, generation: id }, 'a failed generation could not be recorded')
  }
  return appError
}

function requireProvider(deps: Pick<Deps, 'providers'>, request: CheckedRequest): ImageProvider {
  if (request.mode === 'test') return deps.providers.test
  if (deps.providers.live === undefined) throw new AppError('provider_not_configured')
  return deps.providers.live
}

type ReadDeps = Pick<Deps, 'db' | 'objectStore' | 'settings'>

export async function get(deps: ReadDeps, principal: Principal, id: string): Promise<Generation> {
  const row = await findGeneration(deps.db, visibleTo(principal), uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  const rows = await images.listByGeneration(deps.db, principal.userId, [row.id])
  return render(deps, row, rows, 'data-url')
}

export async function list(
  deps: ReadDeps & Pick<Deps, 'catalogue'>,
  principal: Principal,
  input: ListGenerationsInput,
): Promise<{ data: Generation[]; next_cursor: string | null }> {
  const visible = { userId: principal.userId, mode: modeOf(principal, input.mode) }
  const rows = await listGenerations(deps.db, visible, {
    limit: input.limit + 1,
    before: cursorOf(input.cursor),
    status: input.status,
    model:
      input.model === undefined ? undefined : (deps.catalogue.find(input.model)?.id ?? input.model),
    keyId: input.key_id === undefined ? undefined : uuidOf(input.key_id),
  })
  const shown = rows.slice(0, input.limit)
  const last = shown.at(-1)
  return {
    data: await renderAll(deps, principal, shown),
    next_cursor: rows.length > shown.length && last !== undefined ? idOf('gen', last.id) : null,
  }
}

/**
 * Fails generations whose process died. `all`: no other process can be running one, as on an
 * embedded database that was just opened.
 */
export async function recoverAbandoned(
  deps: Pick<Deps, 'db'>,
  options: { all: boolean },
): Promise<number> {
  const { row, code, message } = new AppError(
    'unavailable',
    'The service was stopped while it ran; nothing was charged.',
  )
  return (await failAbandoned(deps.db, { type: row.type, code, message }, options)).length
}

/** Removes an account's generations with their images' rows; the objects stay to be deleted. */
export const deleteAllOf = (tx: Tx, userId: string): Promise<void> =>
  deleteGenerationsOfUser(tx, userId)

/** A key sees the account's generations of its own mode, a session those of both. */
const visibleTo = (principal: Principal): Visible => ({
  userId: principal.userId,
  mode: principal.kind === 'key' ? principal.mode : undefined,
})

function cursorOf(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const id = parseId('gen', cursor)
  if (id !== undefined) return id
  throw new AppError('invalid_input', 'cursor: is not one of ours.', { param: 'cursor' })
}

async function renderAll(
  deps: ReadDeps,
  principal: Principal,
  rows: readonly GenerationRow[],
): Promise<Generation[]> {
  const imageRows = await images.listByGeneration(
    deps.db,
    principal.userId,
    rows.map((row) => row.id),
  )
  return Promise.all(
    rows.map((row) =>
      render(
        deps,
        row,
        imageRows.filter((image) => image.generation_id === row.id),
        'address',
      ),
    ),
  )
}
