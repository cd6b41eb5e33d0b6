import type { AspectRatio, ErrorCode, Model, Size, ThinkingLevel } from '@nanobanana/shared'
import type { EncodedImage } from './image-codec.ts'

/** One call for one picture. */
export interface ImageRequest {
  readonly model: Model
  readonly prompt: string
  /** Undefined: the model chooses. */
  readonly aspectRatio?: AspectRatio
  readonly size: Size
  /** To edit or to refer to, in the caller's order; none by default. */
  readonly images?: readonly EncodedImage[]
  /** 0 to 2147483647; undefined: random. */
  readonly seed?: number
  /** Undefined: the model's own. */
  readonly thinkingLevel?: ThinkingLevel
  /** Ends the call; the provider may still bill for it. */
  readonly signal: AbortSignal
  /** When `signal` will time out, by `performance.now()`: no wait that outlasts it is begun. */
  readonly deadline?: number
}

/** Tokens as the provider counted them. */
export interface TokenUsage {
  readonly inputTokens: number
  /** Text and thinking. */
  readonly textOutputTokens: number
  readonly imageOutputTokens: number
}

export const addTokens = (one: TokenUsage, other: TokenUsage): TokenUsage => ({
  inputTokens: one.inputTokens + other.inputTokens,
  textOutputTokens: one.textOutputTokens + other.textOutputTokens,
  imageOutputTokens: one.imageOutputTokens + other.imageOutputTokens,
})

export interface ImageResult {
  /** The finished picture: encoded bytes as received, drafts and thoughts left out. */
  readonly bytes: Uint8Array
  readonly text: string | null
  readonly usage: TokenUsage
  /** Tokens of attempts that failed before this one, which the provider may bill too. */
  readonly wasted?: TokenUsage
}

/** What a provider's failure can mean to the caller; the codes are rows of the error table. */
export type ProviderErrorCode = Extract<
  ErrorCode,
  | 'content_blocked'
  | 'no_image'
  | 'upstream_failed'
  | 'upstream_invalid'
  | 'upstream_unavailable'
  | 'upstream_rate_limited'
  | 'upstream_timeout'
>

/** The only error a provider throws. `message` may be shown to the caller; `cause` goes to the log. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly code: ProviderErrorCode
  readonly retryAfterMs: number | undefined
  /** Tokens the provider has or may have billed for all attempts. */
  readonly wasted: TokenUsage | undefined

  constructor(
    code: ProviderErrorCode,
    message: string,
    options: { retryAfterMs?: number; wasted?: TokenUsage; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs
    this.wasted = options.wasted
  }
}

/**
 * Makes pictures. Promises: one picture per call; a `ProviderError` for every failure of the provider's.
 * An abort by the caller's signal rejects with the signal's reason. Where that is a `TimeoutError`, a
 * `ProviderError` may tell more.
 */
export interface ImageProvider {
  generate(request: ImageRequest): Promise<ImageResult>
}

/** How a call ended; `refused`: it was never made. */
export type CallOutcome = 'succeeded' | 'aborted' | 'refused' | ProviderErrorCode

/** Hears of each single call to a provider, of which one picture may take several. */
export interface CallObserver {
  /** `seconds`: undefined where no call was made. */
  onEnd(model: string, outcome: CallOutcome, seconds: number | undefined): void
  /** A call failed with this code, and is made again. */
  onRepeat(model: string, code: ProviderErrorCode): void
  /** Calls to the model are kept back, or no longer. */
  onBreaker(model: string, change: 'opened' | 'closed'): void
}
