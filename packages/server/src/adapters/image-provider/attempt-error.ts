import { ProviderError, type ProviderErrorCode } from '../../ports/image-provider.ts'

type ProviderErrorOptions = NonNullable<ConstructorParameters<typeof ProviderError>[2]>

export interface AttemptErrorOptions extends ProviderErrorOptions {
  readonly repeats?: number
  readonly pauseMs?: number
  readonly alarm?: string
}

/** How one call to a provider failed; a `ProviderError` of another kind is never repeated. */
export class AttemptError extends ProviderError {
  /** How often the call may be made again after this; 0 by default. */
  readonly repeats: number
  /** Milliseconds to wait before; undefined: the caller's own backoff. */
  readonly pauseMs: number | undefined
  /** What only the operator can mend, for the log. */
  readonly alarm: string | undefined

  constructor(code: ProviderErrorCode, message: string, options: AttemptErrorOptions = {}) {
    super(code, message, options)
    this.repeats = options.repeats ?? 0
    this.pauseMs = options.pauseMs
    this.alarm = options.alarm
  }
}
