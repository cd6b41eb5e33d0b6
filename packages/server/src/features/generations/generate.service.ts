import { ERRORS, type GenerateInput, type Generation } from '@nanobanana/shared'
import { transaction } from '../../db/client.ts'
import { AppError, toAppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import { type ImageProvider, type ImageResult, ProviderError } from '../../ports/image-provider.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import { endSurely, type Job } from './ending.ts'
import { fail, insertRunning, type NewGeneration } from './generations.repo.ts'
import { render } from './render.ts'
import { type CheckedRequest, checkRequest } from './request.ts'

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
