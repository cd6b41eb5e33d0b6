import { checkRetries, checkTimeout, type Config } from './config.ts'
import { TimeoutError } from './errors.ts'

/** What every method takes as its last argument. */
export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason, as `fetch` does. */
  signal?: AbortSignal | undefined
  /** Milliseconds for one attempt, `Infinity` for no bound. Default: the client's. */
  timeoutMs?: number | undefined
  /** Milliseconds for all attempts together, `Infinity` for no bound. Default: the client's. */
  totalTimeoutMs?: number | undefined
  /** How often a request that failed in a way that may pass is sent again. Default: the client's. */
  maxRetries?: number | undefined
}

/** What holds for a call as a whole, however many requests it takes. */
export interface Bounds {
  readonly signal: AbortSignal | undefined
  readonly maxRetries: number
  /** The generation that the call has made, once an answer has told its id. */
  generationId: string | undefined
  /** Milliseconds that are left of the whole. */
  remainingMs(): number
  /** Milliseconds for the next attempt. Throws where no time is left, or the call was aborted. */
  attemptMs(): number
  /** The error of a call whose time is over. */
  timeout(): TimeoutError
}

export function createBounds(config: Config, options: CallOptions = {}): Bounds {
  const { signal } = options
  const timeoutMs = checkTimeout(options.timeoutMs ?? config.timeoutMs, 'timeoutMs')
  const totalMs = checkTimeout(options.totalTimeoutMs ?? config.totalTimeoutMs, 'totalTimeoutMs')
  const begun = performance.now()
  const remainingMs = () => totalMs - (performance.now() - begun)
  const bounds: Bounds = {
    signal,
    maxRetries: checkRetries(options.maxRetries ?? config.maxRetries),
    generationId: undefined,
    remainingMs,
    attemptMs: () => {
      signal?.throwIfAborted()
      const left = remainingMs()
      if (left <= 0) throw bounds.timeout()
      return Math.min(timeoutMs, left)
    },
    timeout: () =>
      new TimeoutError(`The call did not end within ${totalMs} ms.`, {
        shouldRetry: false,
        generationId: bounds.generationId,
      }),
  }
  return bounds
}
