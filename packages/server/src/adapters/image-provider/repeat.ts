import { setTimeout as delay } from 'node:timers/promises'
import type { BaseLogger } from 'pino'
import {
  addTokens,
  type CallObserver,
  type ImageProvider,
  type ImageRequest,
  type ImageResult,
  ProviderError,
  type TokenUsage,
} from '../../ports/image-provider.ts'
import { AttemptError } from './attempt-error.ts'
import { isTimeout } from './is-timeout.ts'

export interface RepeatOptions {
  readonly log: Pick<BaseLogger, 'warn'>
  readonly observer?: CallObserver
  /** Waits; rejects as soon as the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** 0 to 1; default `Math.random`. */
  readonly random?: () => number
}

const MAX_REPEATS = 2
/** The longest delay of the provider's naming that is waited for. */
const MAX_ASKED_MS = 10_000
const MIN_BACKOFF_MS = 500
/** Of the first wait, and of every later one. */
const MAX_BACKOFF_MS = [2000, 8000]

/**
 * Makes a call again where that may help. The only place that does: the allowance is the smallest
 * that any failure of the call left, so an end that may have been billed is repeated once at most.
 */
export function withRepeats(provider: ImageProvider, options: RepeatOptions): ImageProvider {
  return { generate: (request) => generate(provider, request, options) }
}

async function generate(
  provider: ImageProvider,
  request: ImageRequest,
  options: RepeatOptions,
): Promise<ImageResult> {
  let wasted: TokenUsage | undefined
  let allowance = MAX_REPEATS
  for (let repeats = 0; ; repeats++) {
    try {
      const result = await provider.generate(request)
      return wasted === undefined ? result : { ...result, wasted }
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error
      wasted = sum(wasted, error.wasted)
      allowance = Math.min(allowance, error instanceof AttemptError ? error.repeats : 0)
      const pauseMs = pauseAfter(error, repeats, options)
      const ended = finalError(error, wasted)
      if (repeats >= allowance || !fits(pauseMs, request)) throw ended
      const note = { code: error.code, attempt: repeats + 1, pauseMs, model: request.model.id }
      options.log.warn(note, 'a call to the provider failed and is repeated')
      options.observer?.onRepeat(request.model.id, error.code)
      await pause(pauseMs, request, options).catch((reason: unknown) => {
        throw isTimeout(reason) ? ended : reason
      })
    }
  }
}

/** Milliseconds: what the provider asked for, or full jitter under a growing bound. */
function pauseAfter(error: ProviderError, repeats: number, options: RepeatOptions): number {
  if (error instanceof AttemptError && error.pauseMs !== undefined) return error.pauseMs
  const bound = MAX_BACKOFF_MS[repeats] ?? MIN_BACKOFF_MS
  const random = options.random ?? Math.random
  return Math.round(MIN_BACKOFF_MS + random() * (bound - MIN_BACKOFF_MS))
}

function fits(pauseMs: number, { signal, deadline = Infinity }: ImageRequest): boolean {
  return !signal.aborted && pauseMs <= MAX_ASKED_MS && pauseMs < deadline - performance.now()
}

/** Rejects with the signal's reason; the timer's own AbortError would hide it. */
async function pause(ms: number, { signal }: ImageRequest, options: RepeatOptions): Promise<void> {
  if (ms === 0) return
  const sleep = options.sleep ?? ((time) => delay(time, undefined, { signal }))
  await sleep(ms, signal).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error
  })
}

/** The failure as the caller sees it, with the tokens of all attempts. */
function finalError(error: ProviderError, wasted: TokenUsage | undefined): ProviderError {
  const { code, message, retryAfterMs, cause } = error
  return new ProviderError(code, message, {
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(wasted === undefined ? {} : { wasted }),
  })
}

const sum = (one: TokenUsage | undefined, other: TokenUsage | undefined): TokenUsage | undefined =>
  one === undefined || other === undefined ? (one ?? other) : addTokens(one, other)
