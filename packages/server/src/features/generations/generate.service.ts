import type { GenerateInput, Generation } from '@nanobanana/shared'
import { AppError, toAppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import * as images from '../images/images.service.ts'
import { type Job as Paid, priceOf } from '../usage/usage.service.ts'
import { endFailed, endSurely } from './ending.ts'
import { estimateTokens } from './estimate.ts'
import type { NewGeneration } from './generations.repo.ts'
import { claimOf } from './idempotency.ts'
import type { Claim } from './idempotency.repo.ts'
import { type InputImages, prepareImages } from './input-images.ts'
import { type Job, type Made, make, unrepeatable } from './making.ts'
import { render } from './render.ts'
import { type Earlier, findEarlier } from './replay.ts'
import { type CheckedRequest, checkRequest } from './request.ts'
import { ClaimedMeanwhile, start } from './starting.ts'

export type GenerateDeps = Pick<
  Deps,
  | 'db'
  | 'urgentDb'
  | 'providers'
  | 'objectStore'
  | 'codec'
  | 'room'
  | 'catalogue'
  | 'settings'
  | 'leases'
  | 'log'
>

/** What the entrance knows of a call, and wants to hear of it. */
export interface Call {
  /** The header `Idempotency-Key` as it was sent. */
  readonly idempotencyKey: string | undefined
  /** Hears the generation's id once its row is committed, which is before the provider is asked. */
  onCommitted(id: string): void
  /** Hears that the answer is that of an earlier request. */
  onReplayed(): void
}

/** Makes pictures and waits for them, or answers what an earlier request with the same key made. */
export async function generate(
  deps: GenerateDeps,
  principal: Principal,
  input: GenerateInput,
  call: Call,
): Promise<Generation> {
  const { idempotencyKey: header } = call
  const claim = header === undefined ? undefined : claimOf(principal, header, 'generate', input)
  const earlier = claim && (await findEarlier(deps, claim, call))
  if (earlier !== undefined && 'generation' in earlier) return earlier.generation
  const prepared = await prepare(deps, principal, input)
  try {
    return await runOnce(deps, principal, prepared, { call, claim, earlier })
  } finally {
    prepared.inputs.release()
  }
}

/** How a request is run: for whom, under which claim, and after which failure. */
interface How {
  readonly call: Call
  readonly claim: Claim | undefined
  readonly earlier: Exclude<Earlier, { generation: unknown }> | undefined
}

/** Runs it unless another request with the same key of idempotency is quicker. */
async function runOnce(
  deps: GenerateDeps,
  principal: Principal,
  prepared: Prepared,
  how: How,
): Promise<Generation> {
  try {
    return await run(deps, principal, prepared, how)
  } catch (error) {
    if (!(error instanceof ClaimedMeanwhile) || how.claim === undefined) throw error
    const earlier = await findEarlier(deps, how.claim, how.call)
    if (earlier !== undefined && 'generation' in earlier) return earlier.generation
    return runOnce(deps, principal, prepared, { ...how, earlier })
  }
}

/** A request that may be run, however often. */
interface Prepared {
  readonly input: GenerateInput
  readonly request: CheckedRequest
  readonly provider: ImageProvider
  readonly inputs: InputImages
}

async function prepare(
  deps: GenerateDeps,
  principal: Principal,
  input: GenerateInput,
): Promise<Prepared> {
  const request = checkRequest(deps.catalogue, deps.settings.defaultModel, principal, input)
  const provider = requireProvider(deps, request)
  const inputs = await prepareImages(deps, principal, input.images ?? [])
  return { input, request, provider, inputs }
}

async function run(
  deps: GenerateDeps,
  principal: Principal,
  prepared: Prepared,
  how: How,
): Promise<Generation> {
  const { input, request, provider, inputs } = prepared
  const failed = how.earlier?.failed
  const id = failed?.id ?? newUuid()
  const paid: Paid = {
    userId: principal.userId,
    keyId: principal.kind === 'key' ? principal.keyId : null,
    generationId: id,
    attempt: (failed?.attempt ?? 0) + 1,
    mode: request.mode,
    model: request.model,
  }
  const tokens = estimateTokens(request, input.prompt, inputs.images.length)
  await start(deps, principal, {
    row: rowOf(paid, input, request, inputs),
    failed,
    claim: how.claim,
    job: paid,
    estimate: priceOf(paid, tokens),
  })
  how.call.onCommitted(idOf('gen', id))
  const job: Job = {
    ...request,
    id,
    prompt: input.prompt,
    images: inputs.images,
    paid,
  }
  try {
    return await makeAndEnd(deps, provider, job)
  } finally {
    letGo(deps, paid)
  }
}

/** A later attempt may run here by now, when this one lost its lease. */
function letGo({ leases: { held } }: Pick<Deps, 'leases'>, { generationId, attempt }: Paid): void {
  if (held.get(generationId) === attempt) held.delete(generationId)
}

async function makeAndEnd(
  deps: GenerateDeps,
  provider: ImageProvider,
  job: Job,
): Promise<Generation> {
  const made = await make(deps, provider, job)
  if (made.images.length === 0) throw await recordFailure(deps, job, made, tellingFailure(made))
  for (const { cause, code } of made.failures)
    deps.log.warn(
      { err: cause, code, generation: job.id },
      'one image of several could not be made',
    )
  try {
    return await keep(deps, job, made)
  } catch (error) {
    throw await recordFailure(deps, job, made, unrepeatable(error))
  }
}

const rowOf = (
  { generationId, userId, keyId, mode, model }: Paid,
  input: GenerateInput,
  request: CheckedRequest,
  inputs: InputImages,
): NewGeneration => ({
  id: generationId,
  user_id: userId,
  key_id: keyId,
  mode,
  model: model.id,
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
})

/** Ends the generation with the pictures that the provider was paid for. */
async function keep(deps: GenerateDeps, job: Job, made: Made): Promise<Generation> {
  const ended = await endSurely(deps, job, made)
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
  deps: Pick<Deps, 'urgentDb' | 'leases' | 'log'>,
  job: Job,
  made: Made,
  error: unknown,
): Promise<AppError> {
  const appError = toAppError(error)
  try {
    await endFailed(deps, job, made, appError)
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
