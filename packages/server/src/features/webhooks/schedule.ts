const MINUTE = 60
const HOUR = 60 * MINUTE

/** Seconds to wait before each attempt, about three days together. */
const DELAYS = [
  0,
  5,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]
const JITTER = 0.2
const MAX_RETRY_AFTER = 24 * HOUR

/** Of a delivery that gets one attempt and no more. */
export const LAST_STEP = DELAYS.length - 1

/**
 * Seconds from an attempt that failed to the next; undefined after the last. The other side may ask
 * for more time than is planned, up to a day, and never for less.
 */
export function delayAfter(
  step: number,
  retryAfterSeconds: number | undefined,
  random = Math.random,
): number | undefined {
  const delay = DELAYS[step + 1]
  if (delay === undefined) return undefined
  const planned = delay * (1 + JITTER * (2 * random() - 1))
  return Math.max(planned, Math.min(retryAfterSeconds ?? 0, MAX_RETRY_AFTER))
}
