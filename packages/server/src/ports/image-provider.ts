import type { AspectRatio, ErrorCode, Model, Size } from '@nanobanana/shared'

/** One call for one picture. */
export interface ImageRequest {
  readonly model: Model
  readonly prompt: string
  /** Undefined: the model chooses. */
  readonly aspectRatio?: AspectRatio
  readonly size: Size
  /** Ends the call; the provider may still bill for it. */
  readonly signal: AbortSignal
}

/** Tokens as the provider counted them. */
export interface TokenUsage {
  readonly inputTokens: number
  /** Text and thinking. */
  readonly textOutputTokens: number
  readonly imageOutputTokens: number
}

export interface ImageResult {
  /** The finished picture: encoded bytes as received, drafts and thoughts left out. */
  readonly bytes: Uint8Array
  readonly text: string | null
  readonly usage: TokenUsage
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

  constructor(
    code: ProviderErrorCode,
    message: string,
    options: { retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }
}

/**
 * Makes pictures. Promises: one picture per call; a `ProviderError` for every failure but an abort
 * by the caller's signal, which rejects with the signal's reason.
 */
export interface ImageProvider {
  generate(request: ImageRequest): Promise<ImageResult>
}
