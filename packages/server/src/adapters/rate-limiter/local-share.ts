import { RateLimiterMemory } from 'rate-limiter-flexible'
import type { RateLimiter, RateLimitRule } from '../../ports/rate-limiter.ts'
import { bucketOf, type Count, resultOf } from './count.ts'

/** What one process allows by itself, of every limit. */
const SHARE = 0.5

/** The counters of a shared store as this process last saw them, to go on from when the store is lost. */
export interface LocalShare extends Pick<RateLimiter, 'consume'> {
  remember(rule: RateLimitRule, subject: string, seen: Count): Promise<void>
  recall(rule: RateLimitRule, subject: string): Promise<Count | undefined>
}

/** Its `consume` goes on from the count last seen and allows half of each limit, rounded up. */
export function createLocalShare(): LocalShare {
  const counter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: 1 })

  async function recall(rule: RateLimitRule, subject: string): Promise<Count | undefined> {
    const found = await counter.get(bucketOf(rule, subject))
    if (found === null || found.msBeforeNext <= 0) return undefined
    return { count: found.consumedPoints, resetMs: found.msBeforeNext }
  }

  return {
    recall,
    async remember(rule, subject, seen) {
      const before = await recall(rule, subject)
      // Answers overtake each other. And the library would keep a window of no length for ever.
      if (seen.resetMs <= 0 || (before !== undefined && before.count > seen.count)) return
      await counter.set(bucketOf(rule, subject), seen.count, seen.resetMs / 1000)
    },
    async consume(rule, subject, calls = 1) {
      const { consumedPoints: count, msBeforeNext: resetMs } = await counter.consume(
        bucketOf(rule, subject),
        calls,
        { customDuration: rule.windowSeconds },
      )
      return resultOf({ ...rule, limit: Math.ceil(rule.limit * SHARE) }, { count, resetMs }, calls)
    },
  }
}
