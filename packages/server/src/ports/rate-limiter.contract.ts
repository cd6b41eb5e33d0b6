import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RateLimiter, RateLimitRule } from './rate-limiter.ts'

interface Made {
  readonly limiter: RateLimiter
  close(): Promise<void>
}

/** What every rate limiter must do. */
export function rateLimiterContract(name: string, create: () => Promise<Made>): void {
  describe(`${name} keeps the promises of a rate limiter`, () => {
    let made: Made
    let limiter: RateLimiter
    beforeAll(async () => {
      made = await create()
      limiter = made.limiter
    })
    afterAll(() => made.close())

    let rules = 0
    const rule = (limit: number, windowSeconds = 60): RateLimitRule => ({
      name: `rule-${++rules}`,
      limit,
      windowSeconds,
    })

    it('allows exactly the limit of many parallel calls', async () => {
      const hundred = rule(100)
      const results = await Promise.all(
        Array.from({ length: 250 }, () => limiter.consume(hundred, 'subject')),
      )
      expect(results.filter((one) => one.allowed)).toHaveLength(100)
      const left = results.filter((one) => one.allowed).map((one) => one.remaining)
      expect(left.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    })

    it('says what remains and when the window ends', async () => {
      const three = rule(3, 30)
      const first = await limiter.consume(three, 'subject')
      expect(first).toMatchObject({ allowed: true, remaining: 2 })
      expect(first.resetMs).toBeGreaterThan(25_000)
      expect(first.resetMs).toBeLessThanOrEqual(30_000)
      await limiter.consume(three, 'subject')
      await limiter.consume(three, 'subject')
      const refused = await limiter.consume(three, 'subject')
      expect(refused).toMatchObject({ allowed: false, remaining: 0 })
      expect(refused.resetMs).toBeGreaterThan(25_000)
    })

    it('counts nothing on peek', async () => {
      const two = rule(2)
      const peeks = await Promise.all([1, 2, 3].map(() => limiter.peek(two, 'subject')))
      expect(peeks.every((one) => one.allowed && one.remaining === 2)).toBe(true)
      await limiter.consume(two, 'subject')
      expect(await limiter.peek(two, 'subject')).toMatchObject({ allowed: true, remaining: 1 })
      expect(await limiter.consume(two, 'subject')).toMatchObject({ allowed: true, remaining: 0 })
      expect(await limiter.peek(two, 'subject')).toMatchObject({ allowed: false, remaining: 0 })
    })

    it('starts anew when the window ends', async () => {
      const short = rule(1, 1)
      expect((await limiter.consume(short, 'subject')).allowed).toBe(true)
      const { allowed, resetMs } = await limiter.consume(short, 'subject')
      expect(allowed).toBe(false)
      await sleep(resetMs + 50)
      expect(await limiter.peek(short, 'subject')).toMatchObject({ allowed: true, remaining: 1 })
      expect((await limiter.consume(short, 'subject')).allowed).toBe(true)
    })

    it('keeps subjects and rules apart, whatever characters their names hold', async () => {
      const a = { name: 'a', limit: 1, windowSeconds: 60 }
      const ab = { name: 'a:b', limit: 1, windowSeconds: 60 }
      const calls: [RateLimitRule, string][] = [
        [a, 'x'],
        [a, 'y'],
        [a, 'b:x'],
        [ab, 'x'],
        [a, '__proto__'],
        [a, ''],
      ]
      for (const [one, subject] of calls)
        expect((await limiter.consume(one, subject)).allowed).toBe(true)
      for (const [one, subject] of calls)
        expect((await limiter.consume(one, subject)).allowed).toBe(false)
    })

    it('refuses all under a limit of 0', async () => {
      const none = rule(0)
      expect(await limiter.peek(none, 'subject')).toMatchObject({ allowed: false, remaining: 0 })
      expect(await limiter.consume(none, 'subject')).toMatchObject({ allowed: false, remaining: 0 })
    })

    it('applies a changed limit at once to the counts it has', async () => {
      const five = rule(5)
      for (let i = 0; i < 3; i++) await limiter.consume(five, 'subject')
      const lowered = { ...five, limit: 2 }
      expect((await limiter.consume(lowered, 'subject')).allowed).toBe(false)
      const raised = { ...five, limit: 10 }
      expect(await limiter.consume(raised, 'subject')).toMatchObject({ allowed: true })
    })
  })
}
