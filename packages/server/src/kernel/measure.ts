import type { CallObserver } from '../ports/image-provider.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import type { RateLimiter, RateLimitResult } from '../ports/rate-limiter.ts'
import type { Metrics } from './metrics.ts'

/** Counts what the provider is asked. */
export const observeCalls = (metrics: Metrics): CallObserver => ({
  onEnd(model, outcome, seconds) {
    metrics.upstreamCalls.inc({ model, outcome })
    if (seconds !== undefined) metrics.upstreamSeconds.observe({ model }, seconds)
  },
  onRepeat: (model, code) => metrics.upstreamRepeats.inc({ model, code }),
  onBreaker: (model, change) => metrics.breakerOpen.set({ model }, change === 'opened' ? 1 : 0),
})

/** The same store, whose puts are counted. */
export function measureStore<T extends ObjectStore>(store: T, metrics: Metrics): T {
  const storage = store.kind
  return {
    ...store,
    async put(object) {
      const stop = metrics.storeSeconds.startTimer({ storage })
      try {
        await store.put(object)
        metrics.storePuts.inc({ storage, outcome: 'stored' })
      } catch (error) {
        metrics.storePuts.inc({ storage, outcome: 'failed' })
        throw error
      } finally {
        stop()
      }
    },
  }
}

/** The same limiter, whose refusals are counted by rule. */
export function measureLimiter(limiter: RateLimiter, metrics: Metrics): RateLimiter {
  const count = (rule: string, asked: number, { passed }: RateLimitResult): number => {
    if (passed < asked) metrics.rateLimited.inc({ rule }, asked - passed)
    return passed
  }
  return {
    async consume(rule, subject, calls = 1) {
      const result = await limiter.consume(rule, subject, calls)
      count(rule.name, calls, result)
      return result
    },
    async consumeAll(charges, calls = 1) {
      const results = await limiter.consumeAll(charges, calls)
      let asked = calls
      for (const [i, result] of results.entries())
        asked = count(charges[i]?.rule.name ?? '', asked, result)
      return results
    },
    sweep: () => limiter.sweep(),
  }
}
