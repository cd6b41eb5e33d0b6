import { describe, expect, it } from 'vitest'
import { rateLimiterContract } from '../../ports/rate-limiter.contract.ts'
import type { RateLimiter } from '../../ports/rate-limiter.ts'
import { withGathering } from './gather.ts'
import { createMemoryRateLimiter } from './memory.ts'

rateLimiterContract('a limiter that gathers calls', async () => ({
  limiter: withGathering(createMemoryRateLimiter()),
  close: async () => {},
}))

describe('a limiter that gathers calls', () => {
  const rule = { name: 'key', limit: 6, windowSeconds: 60 }

  it('asks once for all that came while it was asking', async () => {
    const asked: number[] = []
    const memory = createMemoryRateLimiter()
    const limiter = withGathering({
      ...memory,
      consumeAll: (charges, calls = 1) => {
        asked.push(calls)
        return memory.consumeAll(charges, calls)
      },
    })
    const consume = (subject: string, calls: number) => limiter.consume(rule, subject, calls)
    const results = await Promise.all([
      consume('a', 1),
      consume('a', 2),
      consume('b', 1),
      consume('a', 1),
      consume('a', 4),
      consume('a', 1),
    ])
    expect(asked).toEqual([1, 1, 8])
    expect(results.map(({ passed, remaining }) => [passed, remaining])).toEqual([
      [1, 5],
      [2, 3],
      [1, 5],
      [1, 2],
      [2, 0],
      [0, 0],
    ])
    await consume('a', 1)
    expect(asked.at(-1)).toBe(1)
  })

  it('tells each call only of the rules that counted it', async () => {
    const limiter = withGathering(createMemoryRateLimiter())
    const charges = [
      { rule: { ...rule, limit: 3 }, subject: 'a' },
      { rule, subject: 'b' },
    ]
    const results = await Promise.all(Array.from({ length: 5 }, () => limiter.consumeAll(charges)))
    expect(results.map((all) => all.map(({ remaining }) => remaining))).toEqual([
      [2, 5],
      [1, 4],
      [0, 3],
      [0],
      [0],
    ])
  })

  it('fails with the store and asks it again for the next', async () => {
    let works = false
    const memory = createMemoryRateLimiter()
    const faulty: RateLimiter = {
      ...memory,
      consumeAll: async (...call) => {
        if (works) return memory.consumeAll(...call)
        throw new Error('the store is gone')
      },
    }
    const limiter = withGathering(faulty)
    const calls = Array.from({ length: 3 }, () => limiter.consume(rule, 'a'))
    const settled = await Promise.allSettled(calls)
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    works = true
    expect(await limiter.consume(rule, 'a')).toMatchObject({ remaining: 5 })
  })
})
