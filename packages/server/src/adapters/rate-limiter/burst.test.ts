import { describe, expect, it } from 'vitest'
import { rateLimiterContract } from '../../ports/rate-limiter.contract.ts'
import type { RateLimiter } from '../../ports/rate-limiter.ts'
import { withBursts } from './burst.ts'
import { createMemoryRateLimiter } from './memory.ts'

rateLimiterContract('a limiter that knows bursts', async () => ({
  limiter: withBursts(createMemoryRateLimiter()),
  close: async () => {},
}))

describe('a rule with a burst', () => {
  const rule = { name: 'key', limit: 60, windowSeconds: 60, burst: true }
  const consume = (limiter: RateLimiter, times: number, calls = 1) =>
    Promise.all(Array.from({ length: times }, () => limiter.consume(rule, 'subject', calls)))

  it('allows the whole limit at once', async () => {
    const results = await consume(withBursts(createMemoryRateLimiter()), 100)
    expect(results.filter((one) => one.allowed)).toHaveLength(60)
    expect(results.at(59)).toMatchObject({ remaining: 0 })
    expect(results.at(-1)).toMatchObject({ allowed: false, remaining: 0 })
  })

  it('takes nothing from the long window for what the short one refuses', async () => {
    const limiter = createMemoryRateLimiter()
    await limiter.consume({ ...rule, name: 'key/burst', windowSeconds: 10 }, 'subject', 50)
    const results = await consume(withBursts(limiter), 20)
    expect(results.filter((one) => one.allowed)).toHaveLength(10)
    expect(await limiter.consume(rule, 'subject')).toMatchObject({ remaining: 49 })
  })

  it('tells of the window that has less left, and when that one ends', async () => {
    const limiter = createMemoryRateLimiter()
    const [first] = await consume(withBursts(limiter), 1)
    expect(first).toMatchObject({ remaining: 59 })
    expect(first!.resetMs).toBeGreaterThan(10_000)
    await limiter.consume({ ...rule, name: 'key/burst', windowSeconds: 10 }, 'subject', 50)
    const [second] = await consume(withBursts(limiter), 1)
    expect(second).toMatchObject({ allowed: true, remaining: 8 })
    expect(second!.resetMs).toBeLessThanOrEqual(10_000)
  })

  it('lets of a batch pass what both windows have room for', async () => {
    const limiter = createMemoryRateLimiter()
    await limiter.consume({ ...rule, name: 'key/burst', windowSeconds: 10 }, 'subject', 55)
    const [batch] = await consume(withBursts(limiter), 1, 10)
    expect(batch).toMatchObject({ allowed: false, passed: 5, remaining: 0 })
  })

  it('keeps charges with a burst and charges without one apart', async () => {
    const limiter = withBursts(createMemoryRateLimiter())
    const charges = [
      { rule: { name: 'ip', limit: 9, windowSeconds: 60 }, subject: 'a' },
      { rule, subject: 'b' },
      { rule: { ...rule, name: 'account', limit: 7 }, subject: 'c' },
    ]
    const remaining = async () => (await limiter.consumeAll(charges, 4)).map((one) => one.remaining)
    expect(await remaining()).toEqual([5, 56, 3])
    expect(await remaining()).toEqual([1, 52, 0])
    expect(await remaining()).toEqual([0, 51, 0])
    expect(await remaining()).toEqual([0])
  })
})
