import type { GenerateInput, Generation } from '@nanobanana/shared'
import { transaction } from '../../db/client.ts'
import { AppError, toAppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import * as auth from '../auth/auth.service.ts'
import * as images from '../images/images.service.ts'
import { endSurely, upstreamCost } from './ending.ts'
import { fail, insertRunning, type NewGeneration } from './generations.repo.ts'
import { type InputImages, prepareImages } from './input-images.ts'
import { type Job, type Made, make, unrepeatable } from './making.ts'
import { render } from './render.ts'
import { type CheckedRequest, checkRequest } from './request.ts'

export type GenerateDeps = Pick<
  Deps,
  'db' | 'providers' | 'objectStore' | 'codec' | 'room' | 'catalogue' | 'settings' | 'log'
>

/**
 * Added to the upstream's total deadline: time to store the pictures (three attempts of 30 s) and to
 * end the generation.
 */
const LEASE_MARGIN_SECONDS = 180

/**
 * Makes pictures and waits for them. `onCommitted` hears the generation's id once its row is
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
  const inputs = await prepareImages(deps, principal, input.images ?? [])
  try {
    return await run(deps, principal, { input, request, provider, inputs }, onCommitted)
  } finally {
    inputs.release()
  }
}

/** A request that may be run. */
interface Prepared {
  readonly input: GenerateInput
  readonly request: CheckedRequest
  readonly provider: ImageProvider
  readonly inputs: InputImages
}

async function run(
  deps: GenerateDeps,
  principal: Principal,
  { input, request, provider, inputs }: Prepared,
  onCommitted: (id: string) => void,
): Promise<Generation> {
  const id = newUuid()
  await begin(deps, principal, rowOf(deps, principal, id, input, request, inputs))
  onCommitted(idOf('gen', id))
  const { userId } = principal
  const job = { id, userId, prompt: input.prompt, images: inputs.images, ...request }
  const made = await make(deps, provider, job)
  if (made.images.length === 0) throw await recordFailure(deps, job, made, tellingFailure(made))
  for (const { cause, code } of made.failures)
    deps.log.warn({ err: cause, code, generation: id }, 'one image of several could not be made')
  try {
    return await keep(deps, principal, job, made)
  } catch (error) {
    throw await recordFailure(deps, job, made, unrepeatable(error))
  }
}

function rowOf(
  { settings }: Pick<Deps, 'settings'>,
  principal: Principal,
  id: string,
  input: GenerateInput,
  request: CheckedRequest,
  inputs: InputImages,
): NewGeneration {
  return {
    id,
    user_id: principal.userId,
    key_id: principal.kind === 'key' ? principal.keyId : null,
    mode: request.mode,
    model: request.model.id,
    prompt: input.prompt,
    aspect_ratio: request.aspectRatio ?? null,
    size: request.size,
    n: request.n,
    input_images: inputs.images.length,
    output_format: request.outputFormat ?? null,
    output_quality: request.outputQuality ?? null,
    seed: request.seed ?? null,
    thinking_level: request.thinkingLevel ?? null,
    parent_id: inputs.parentId,
    metadata: input.metadata ?? {},
    end_user: input.user ?? null,
    leaseSeconds: Math.ceil(settings.upstreamTimeoutMs / 1000) + LEASE_MARGIN_SECONDS,
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

/** Ends the generation with the pictures that the provider was paid for. */
async function keep(
  deps: GenerateDeps,
  principal: Principal,
  job: Job,
  made: Made,
): Promise<Generation> {
  const ended = await endSurely(deps, principal, job, made)
  if (ended === undefined) {
    // Deleted or ended meanwhile: nobody can reach the objects any more.
    await images.deleteObjects(
      deps,
      made.images.map(({ row }) => row),
    )
    throw new AppError('unavailable', 'The generation was ended while it ran; nothing was charged.')
  }
  return render(deps, ended.row, ended.images, 'data-url')
}

/** Of several failures one that a repeat would only buy again, else the first. */
function tellingFailure({ failures }: Made): AppError {
  const final = failures.find(({ headers, row }) => !row.retryable || 'x-should-retry' in headers)
  return final ?? failures[0] ?? new AppError('internal')
}

/** Ends the generation as failed; a failure costs the account nothing, whatever it cost us. */
async function recordFailure(
  deps: Pick<Deps, 'db' | 'log'>,
  job: Job,
  made: Made,
  error: unknown,
): Promise<AppError> {
  const appError = toAppError(error)
  const { code, message, row } = appError
  try {
    await fail(deps.db, job.id, { type: row.type, code, message }, upstreamCost(job, made))
  } catch (cause) {
    deps.log.error({ err: cause, generation: job.id }, 'a failed generation could not be recorded')
  }
  return appError
}

function requireProvider(deps: Pick<Deps, 'providers'>, request: CheckedRequest): ImageProvider {
  if (request.mode === 'test') return deps.providers.test
  if (deps.providers.live === undefined) throw new AppError('provider_not_configured')
  return deps.providers.live
}
