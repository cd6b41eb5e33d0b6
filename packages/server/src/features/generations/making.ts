import { ERRORS } from '@nanobanana/shared'
import { AppError, toAppError } from '../../kernel/app-error.ts'
import type { Deps, HeldRun } from '../../kernel/deps.ts'
import type { EncodedImage } from '../../ports/image-codec.ts'
import {
  type ImageProvider,
  type ImageRequest,
  type ImageResult,
  ProviderError,
  type TokenUsage,
} from '../../ports/image-provider.ts'
import * as images from '../images/images.service.ts'
import type { Job as Paid } from '../usage/usage.service.ts'
import type { CheckedRequest } from './request.ts'
import { addUsage, NO_TOKENS } from './tokens.ts'

/** What is being made, after its row was committed. */
export type Job = CheckedRequest & {
  readonly id: string
  readonly prompt: string
  readonly images: readonly EncodedImage[]
  /** As the ledger knows it. */
  readonly paid: Paid
  /** In whose name it runs. */
  readonly run: HeldRun
}

/** What came of all the calls of a generation. */
export interface Made {
  /** In the order of the calls. */
  readonly images: readonly images.FinishedImage[]
  readonly text: string | null
  /** Of the images that came. */
  readonly usage: TokenUsage
  /** What the provider may bill beside it. */
  readonly wasted: TokenUsage
  readonly failures: readonly AppError[]
}

type MakeDeps = Pick<Deps, 'objectStore' | 'codec' | 'settings' | 'log'>

/** Makes the images of a job, each by its own call, all at once: `n` is four at most. */
export async function make(
  deps: MakeDeps,
  provider: ImageProvider,
  job: Job,
): Promise<readonly Outcome[]> {
  const { upstreamTimeoutMs } = deps.settings
  const signal = AbortSignal.any([AbortSignal.timeout(upstreamTimeoutMs), job.run.canceled.signal])
  const limits = { signal, deadline: performance.now() + upstreamTimeoutMs }
  const calls = Array.from({ length: job.n }, (_, index) =>
    makeOne(deps, provider, job, index, limits),
  )
  return Promise.all(calls)
}

export function sumUp(outcomes: readonly Outcome[]): Made {
  const made = outcomes.filter((outcome) => 'image' in outcome)
  const texts = made.flatMap(({ text }) => text ?? [])
  return {
    images: made.map(({ image }) => image),
    text: texts.length === 0 ? null : [...new Set(texts)].join('\n\n'),
    usage: addUsage(made.map(({ usage }) => usage)),
    wasted: addUsage(outcomes.map(({ wasted }) => wasted)),
    failures: outcomes.flatMap((outcome) => ('failure' in outcome ? outcome.failure : [])),
  }
}

/** Of all the calls together. */
type Limits = Pick<ImageRequest, 'signal' | 'deadline'>

/** What came of one call. */
export type Outcome =
  | { image: images.FinishedImage; text: string | null; usage: TokenUsage; wasted: TokenUsage }
  | { failure: AppError; wasted: TokenUsage }

/** An image that the store did not take counts as one that was not made: nobody could read it. */
export function withoutUnstored(outcome: Outcome): Outcome {
  if (!('image' in outcome) || outcome.image.unstored === undefined) return outcome
  const { image, usage, wasted } = outcome
  return { failure: unrepeatable(image.unstored?.error), wasted: addUsage([usage, wasted]) }
}

/** Stores the picture before the others are there, so that no more of them lie in memory than must. */
async function makeOne(
  deps: MakeDeps,
  provider: ImageProvider,
  job: Job,
  index: number,
  limits: Limits,
): Promise<Outcome> {
  let result: ImageResult
  try {
    result = await provider.generate(requestOf(job, index, limits))
  } catch (error) {
    const wasted = error instanceof ProviderError ? error.wasted : undefined
    return { failure: failureOf(error, limits), wasted: wasted ?? NO_TOKENS }
  }
  const { bytes, text, usage, wasted = NO_TOKENS } = result
  const owner = { userId: job.paid.userId, generationId: job.id }
  const output = { format: job.outputFormat, quality: job.outputQuality }
  try {
    return { image: await images.store(deps, owner, bytes, output), text, usage, wasted }
  } catch (error) {
    return { failure: unrepeatable(error), wasted: addUsage([usage, wasted]) }
  }
}

function requestOf(job: Job, index: number, limits: Limits): ImageRequest {
  const { model, prompt, size, images, aspectRatio, seed, thinkingLevel } = job
  return {
    model,
    prompt,
    size,
    images,
    ...(aspectRatio === undefined ? {} : { aspectRatio }),
    ...(seed === undefined ? {} : { seed: (seed + index) % SEEDS }),
    ...(thinkingLevel === undefined ? {} : { thinkingLevel }),
    ...limits,
  }
}

/** A seed is a signed 32-bit integer to the provider. */
const SEEDS = 2 ** 31
const DEFAULT_RETRY_SECONDS = 5

function failureOf(error: unknown, { signal }: Limits): AppError {
  if (error instanceof ProviderError) {
    const { code, message, retryAfterMs } = error
    const retryAfterSeconds =
      retryAfterMs === undefined ? DEFAULT_RETRY_SECONDS : retryAfterMs / 1000
    return new AppError(code, message, {
      cause: error,
      ...(ERRORS[code].retryable ? { retryAfterSeconds } : {}),
    })
  }
  if (signal.aborted) {
    return new AppError('upstream_timeout', undefined, { retryAfterSeconds: DEFAULT_RETRY_SECONDS })
  }
  // Nobody knows how far the call had come.
  return unrepeatable(error)
}

/** The provider was or may have been paid: a repeat would buy again what may be there to be read by its id. */
export function unrepeatable(error: unknown): AppError {
  const { code, message, retryAfterSeconds, headers } = toAppError(error)
  return new AppError(code, message, {
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    headers: { ...headers, 'x-should-retry': 'false' },
    cause: error,
  })
}
