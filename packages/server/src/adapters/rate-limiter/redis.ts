import { RateLimiterRedis } from 'rate-limiter-flexible'
import type { RateLimiter, RateLimitResult, RateLimitRule } from '../../ports/rate-limiter.ts'
import { bucketOf, type Count, inTurn, resultOf } from './count.ts'
import { createLocalShare } from './local-share.ts'
import { createRedisLink, type RedisLinkOptions } from './redis-link.ts'

export interface RedisRateLimiterOptions extends RedisLinkOptions {
  /** Counts while Redis is lost, from what this process saw there last. */
  readonly fallback: Pick<RateLimiter, 'sweep'> & {
    consume(
      rule: RateLimitRule,
      subject: string,
      calls?: number,
      seen?: Count,
    ): Promise<RateLimitResult>
  }
  /** Hears who counts in place of Redis. */
  readonly onFallback?: (store: 'fallback' | 'process') => void
}

export interface RedisRateLimiter extends RateLimiter {
  close(): void
}

/**
 * Counts in Redis, by its clock. Never throws: while Redis is lost the fallback counts, and where that
 * fails too, or the rule is strict, this process by itself.
 */
export async function createRedisRateLimiter(
  options: RedisRateLimiterOptions,
): Promise<RedisRateLimiter> {
  const { fallback, onFallback } = options
  const link = await createRedisLink(options)
  const local = createLocalShare()
  const counter = new RateLimiterRedis({
    storeClient: link.client,
    keyPrefix: 'nanobanana:limits',
    // Limit and window come with the call. So whatever it rejects with is an error, never a refusal.
    points: Number.MAX_SAFE_INTEGER,
    duration: 1,
    rejectIfRedisNotReady: true,
  })

  async function count(rule: RateLimitRule, subject: string, calls: number): Promise<Count> {
    const { consumedPoints, msBeforeNext } = await counter.consume(bucketOf(rule, subject), calls, {
      customDuration: rule.windowSeconds,
    })
    return { count: consumedPoints, resetMs: msBeforeNext }
  }

  const consumeAlone = (rule: RateLimitRule, subject: string, calls: number) => {
    onFallback?.('process')
    return local.consume(rule, subject, calls)
  }

  const consumeWithout = async (rule: RateLimitRule, subject: string, calls: number) => {
    if (rule.strict === true) return consumeAlone(rule, subject, calls)
    try {
      const result = await fallback.consume(rule, subject, calls, await local.recall(rule, subject))
      onFallback?.('fallback')
      return result
    } catch {
      // Who cannot reach the database hears of it from every other statement.
      return consumeAlone(rule, subject, calls)
    }
  }

  const consume: RateLimiter['consume'] = async (rule, subject, calls = 1) => {
    const counted = await link.ask(() => count(rule, subject, calls))
    if (counted === undefined) return consumeWithout(rule, subject, calls)
    await local.remember(rule, subject, counted)
    return resultOf(rule, counted, calls)
  }

  return {
    consume,
    consumeAll: inTurn(consume),
    // Redis lets go of what has ended; the fallback may hold what was counted while it was lost.
    sweep: () => fallback.sweep(),
    close: () => link.close(),
  }
}
