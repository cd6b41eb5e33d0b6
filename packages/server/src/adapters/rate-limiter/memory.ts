import { RateLimiterMemory } from 'rate-limiter-flexible'
import type { RateLimiter, RateLimitResult, RateLimitRule } from '../../ports/rate-limiter.ts'

/** Counts within this process; several processes need a shared store. */
export function createMemoryRateLimiter(): RateLimiter {
  // One counter serves every rule: limit and window come with the call, so they can differ by key.
  const counter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: 1 })
  return {
    async consume(rule, subject) {
      const { consumedPoints, msBeforeNext } = await counter.consume(bucket(rule, subject), 1, {
        customDuration: rule.windowSeconds,
      })
      return result(rule, consumedPoints, consumedPoints <= rule.limit, msBeforeNext)
    },
    async peek(rule, subject) {
      const found = await counter.get(bucket(rule, subject))
      if (found === null || found.msBeforeNext <= 0) return result(rule, 0, rule.limit > 0, 0)
      const { consumedPoints, msBeforeNext } = found
      return result(rule, consumedPoints, consumedPoints < rule.limit, msBeforeNext)
    },
  }
}

const bucket = (rule: RateLimitRule, subject: string) => JSON.stringify([rule.name, subject])

const result = (
  rule: RateLimitRule,
  consumed: number,
  allowed: boolean,
  resetMs: number,
): RateLimitResult => ({ allowed, remaining: Math.max(0, rule.limit - consumed), resetMs })
