import { afterEach, describe, expect, it, vi } from 'vitest'
import { rateLimiterContract } from '../../ports/rate-limiter.contract.ts'
import type { RateLimitRule } from '../../ports/rate-limiter.ts'
import { consumeInProcesses } from '../../../test/rate-limits.ts'
import { createRedisRateLimiter } from './redis.ts'

const { TEST_REDIS_URL: url } = process.env

const open = () =>
  createRedisRateLimiter({
    url: url!,
    fallback: {
      consume: () => Promise.reject(new Error('there is no fallback')),
      sweep: async () => 0,
    },
    log: { info: () => {}, warn: () => {} },
    // A busy machine is no fault of the server.
    commandTimeoutMs: 10_000,
  })

/** The server may have been used before. */
const run = Date.now().toString(36)

describe.skipIf(url === undefined)('with the Redis of TEST_REDIS_URL', () => {
  rateLimiterContract('the limiter in Redis', async () => {
    const limiter = await open()
    const ofThisRun = (rule: RateLimitRule) => ({ ...rule, name: `${run} ${rule.name}` })
    return {
      limiter: {
        ...limiter,
        consume: (rule, subject, calls) => limiter.consume(ofThisRun(rule), subject, calls),
        consumeAll: (charges, calls) =>
          limiter.consumeAll(
            charges.map(({ rule, subject }) => ({ rule: ofThisRun(rule), subject })),
            calls,
          ),
      },
      close: async () => limiter.close(),
    }
  })

  afterEach(() => void vi.useRealTimers())
  it('does not ask the clock of the process', async () => {
    const limiter = await open()
    const one = { name: `${run} clock`, limit: 1, windowSeconds: 3600 }
    await limiter.consume(one, 'subject')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 3_600_000 })
    expect((await limiter.consume(one, 'subject')).allowed).toBe(false)
    limiter.close()
  })

  it('allows exactly the limit over three processes at once', async () => {
    const rule = { name: `${run} processes`, limit: 200, windowSeconds: 60 }
    const allowed = await consumeInProcesses(url!, rule, { processes: 3, calls: 500 })
    expect(allowed.reduce((sum, one) => sum + one)).toBe(200)
  })
})
