import type {
  RateLimitCharge,
  RateLimiter,
  RateLimitResult,
  RateLimitRule,
} from '../../ports/rate-limiter.ts'
import { consumeOne } from './count.ts'

/**
 * For rules that ask for it: a window that ends may be followed at once by a new one, full again. So a
 * second, short window holds the same limit; it begins when calls come and goes on over that edge.
 */
export function withBursts(limiter: RateLimiter): RateLimiter {
  const consumeAll: RateLimiter['consumeAll'] = async (charges, calls) => {
    // The short window first: refused there, a call uses up nothing of the long one.
    const results = await limiter.consumeAll(charges.flatMap(withShort), calls)
    const left = results.values()
    const merged = charges.map(({ rule }) => {
      const first = left.next().value
      return rule.burst === true ? closer(first, left.next().value) : first
    })
    return merged.filter((one) => one !== undefined)
  }
  return {
    consumeAll,
    consume: consumeOne(consumeAll),
    sweep: () => limiter.sweep(),
  }
}

const withShort = ({ rule, subject }: RateLimitCharge): RateLimitCharge[] =>
  rule.burst === true
    ? [
        { rule: shortOf(rule), subject },
        { rule, subject },
      ]
    : [{ rule, subject }]

const shortOf = (rule: RateLimitRule): RateLimitRule => ({
  ...rule,
  name: `${rule.name}/burst`,
  windowSeconds: Math.ceil(rule.windowSeconds / 6),
})

/** What binds the caller: the window that has less left. */
function closer(
  short: RateLimitResult | undefined,
  long: RateLimitResult | undefined,
): RateLimitResult | undefined {
  if (short === undefined || long === undefined) return short
  const { remaining, resetMs } = short.remaining < long.remaining ? short : long
  return { allowed: short.allowed && long.allowed, passed: long.passed, remaining, resetMs }
}
