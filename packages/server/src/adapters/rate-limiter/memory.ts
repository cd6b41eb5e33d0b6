import { RateLimiterMemory } from 'rate-limiter-flexible'
import type { RateLimiter } from '../../ports/rate-limiter.ts'
import { bucketOf, inTurn, resultOf } from './count.ts'

/** Counts within this process; several processes need a shared store. */
export function createMemoryRateLimiter(): RateLimiter {
  // One counter serves every rule: limit and window come with the call, so they can differ by key.
  const counter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: 1 })
  const consume: RateLimiter['consume'] = async (rule, subject, calls = 1) => {
    const { consumedPoints: count, msBeforeNext: resetMs } = await counter.consume(
      bucketOf(rule, subject),
      calls,
      { customDuration: rule.windowSeconds },
    )
    return resultOf(rule, { count, resetMs }, calls)
  }
  return { consume, consumeAll: inTurn(consume), sweep: async () => 0 }
}
