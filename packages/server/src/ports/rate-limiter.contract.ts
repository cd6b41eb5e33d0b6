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

    it('starts anew when the window ends, which refused calls do not put off', async () => {
      const short = rule(1, 1)
      expect((await limiter.consume(short, 'subject')).allowed).toBe(true)
      const refused = await limiter.consume(short, 'subject')
      await sleep(100)
      const again = await limiter.consume(short, 'subject')
      expect([refused.allowed, again.allowed]).toEqual([false, false])
      expect(again.resetMs).toBeLessThan(refused.resetMs)
      await sleep(again.resetMs + 50)
      expect(await limiter.consume(short, 'subject')).toMatchObject({ allowed: true, remaining: 0 })
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
        [a, '{x}'],
        [a, "'; drop table rate_limits; --"],
        [a, '2001:db8::/64'],
      ]
      for (const [one, subject] of calls)
        expect((await limiter.consume(one, subject)).allowed).toBe(true)
      for (const [one, subject] of calls)
        expect((await limiter.consume(one, subject)).allowed).toBe(false)
    })

    it('refuses all under a limit of 0', async () => {
      const none = rule(0)
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

    it('lets of a batch as many calls pass as there is room for', async () => {
      const ten = rule(10)
      const passed = async (calls: number) => (await limiter.consume(ten, 'subject', calls)).passed
      expect([await passed(4), await passed(4), await passed(4), await passed(4)]).toEqual([
        4, 4, 2, 0,
      ])
    })

    it('allows exactly the limit of many parallel batches', async () => {
      const hundred = rule(100)
      const batches = Array.from({ length: 40 }, (_, i) =>
        limiter.consume(hundred, 'subject', 1 + (i % 7)),
      )
      const passed = (await Promise.all(batches)).map((one) => one.passed)
      expect(passed.reduce((sum, one) => sum + one)).toBe(100)
    })

    it('counts by a rule only what the rule before let pass', async () => {
      const [narrow, wide] = [rule(3), rule(10)]
      const charges = [narrow, wide].map((one) => ({ rule: one, subject: 'subject' }))
      expect(await limiter.consumeAll(charges, 2)).toMatchObject([
        { allowed: true, passed: 2, remaining: 1 },
        { allowed: true, passed: 2, remaining: 8 },
      ])
      expect(await limiter.consumeAll(charges, 2)).toMatchObject([
        { allowed: false, passed: 1, remaining: 0 },
        { allowed: true, passed: 1, remaining: 7 },
      ])
      expect(await limiter.consumeAll(charges)).toMatchObject([{ allowed: false, passed: 0 }])
      expect(await limiter.consume(wide, 'subject')).toMatchObject({ remaining: 6 })
    })

    it('stays exact by several rules at once', async () => {
      const [each, all] = [rule(30), rule(50)]
      const calls = Array.from({ length: 120 }, (_, i) =>
        limiter.consumeAll([
          { rule: each, subject: `subject ${i % 3}` },
          { rule: all, subject: 'subject' },
        ]),
      )
      const results = await Promise.all(calls)
      expect(results.filter(([first]) => first?.allowed)).toHaveLength(90)
      expect(results.filter(([, last]) => last?.allowed)).toHaveLength(50)
    })
  })
}
