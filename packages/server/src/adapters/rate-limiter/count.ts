import type { RateLimiter, RateLimitResult, RateLimitRule } from '../../ports/rate-limiter.ts'

/** What a store says of one counter. */
export interface Count {
  /** Calls of this window, refused ones included. */
  readonly count: number
  readonly resetMs: number
}

export const bucketOf = (rule: RateLimitRule, subject: string): string =>
  JSON.stringify([rule.name, subject])

/** What becomes of the last `calls` of those that were counted. */
export function resultOf(
  { limit }: RateLimitRule,
  { count, resetMs }: Count,
  calls: number,
): RateLimitResult {
  const room = Math.max(0, limit - (count - calls))
  return {
    allowed: calls <= room,
    passed: Math.min(calls, room),
    remaining: Math.max(0, limit - count),
    resetMs,
  }
}

/** `consumeAll` of a store that is asked for one counter at a time. */
export const inTurn =
  (consume: RateLimiter['consume']): RateLimiter['consumeAll'] =>
  async (charges, calls = 1) => {
    const results: RateLimitResult[] = []
    let left = calls
    for (const { rule, subject } of charges) {
      const result = await consume(rule, subject, left)
      results.push(result)
      left = result.passed
      if (left === 0) break
    }
    return results
  }

/** `consume` of a store that is asked for several at once. */
export const consumeOne =
  (consumeAll: RateLimiter['consumeAll']): RateLimiter['consume'] =>
  async (rule, subject, calls) => {
    const [result] = await consumeAll([{ rule, subject }], calls)
    if (result === undefined) throw new Error('the limiter answered nothing')
    return result
  }
