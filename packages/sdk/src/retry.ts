import type { Bounds } from './bounds.ts'
import { NanoBananaError } from './errors.ts'
import { sleep } from './sleep.ts'

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 8000

/** Codes of what was refused before anything was done. */
const NOT_BEGUN: ReadonlySet<string> = new Set([
  'rate_limited',
  'login_throttled',
  'concurrency_limited',
  'overloaded',
  'shutting_down',
])

/** Attempts something until it succeeds, fails for good, or the bounds are reached. */
export async function retrying<T>(
  bounds: Bounds,
  repeatable: boolean,
  attempt: (timeoutMs: number) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt(bounds.attemptMs())
    } catch (error) {
      await pause(bounds, error, failures, repeatable)
    }
  }
}

/** Waits before the next attempt; throws the error where there is none. */
export async function pause(
  bounds: Bounds,
  error: unknown,
  failures: number,
  repeatable: boolean,
): Promise<void> {
  if (!mayPass(error, repeatable) || failures >= bounds.maxRetries) throw error
  const delayMs = error.retryAfterMs ?? backoff(failures)
  // The service has said that it would be in vain before then.
  if (delayMs >= bounds.remainingMs()) throw error
  await sleep(delayMs, bounds.signal)
}

/** Full jitter: many clients that fail together do not come back together. */
export const backoff = (failures: number): number =>
  Math.random() * Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures)

const mayPass = (error: unknown, repeatable: boolean): error is NanoBananaError =>
  error instanceof NanoBananaError && error.shouldRetry && (repeatable || NOT_BEGUN.has(error.code))
