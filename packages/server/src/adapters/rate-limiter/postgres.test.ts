import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { rateLimiterContract } from '../../ports/rate-limiter.contract.ts'
import { createTestDatabase, ENGINE, type TestDatabase } from '../../../test/harness.ts'
import { consumeInProcesses } from '../../../test/rate-limits.ts'
import { withBursts } from './burst.ts'
import { createPostgresRateLimiter, type PostgresRateLimiter } from './postgres.ts'

rateLimiterContract(`the limiter in the database (${ENGINE})`, async () => {
  const database = await createTestDatabase()
  return {
    limiter: createPostgresRateLimiter(database.handle.db),
    close: async () => database[Symbol.asyncDispose](),
  }
})

describe('the limiter in the database', () => {
  let database: TestDatabase
  let limiter: PostgresRateLimiter
  beforeAll(async () => {
    database = await createTestDatabase()
    limiter = createPostgresRateLimiter(database.handle.db)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  afterEach(() => void vi.useRealTimers())

  const rule = (name: string, limit: number) => ({ name, limit, windowSeconds: 3600 })
  const shift = (name: string, hours: number) =>
    sql`update rate_limits set expires_at = expires_at + make_interval(hours => ${hours}::int)
        where rule = ${name}`.execute(database.handle.db)

  it('starts anew an hour later, by the clock of the database', async () => {
    const one = rule('later', 1)
    await limiter.consume(one, 'subject')
    expect((await limiter.consume(one, 'subject')).allowed).toBe(false)
    await shift('later', -1)
    expect(await limiter.consume(one, 'subject')).toMatchObject({ allowed: true, remaining: 0 })
  })

  // The clock of an embedded database is the clock of the process.
  it.skipIf(ENGINE === 'pglite')(
    'does not ask the clock of the process (needs Postgres)',
    async () => {
      const [early, late] = [rule('clock ahead', 1), rule('clock behind', 1)]
      await limiter.consume(early, 'subject')
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 3_600_000 })
      expect((await limiter.consume(early, 'subject')).allowed).toBe(false)
      vi.setSystemTime(Date.now() - 4 * 3_600_000)
      await limiter.consume(late, 'subject')
      expect((await limiter.consume(late, 'subject')).allowed).toBe(false)
    },
  )

  it('ends a window in time although the clock of the database was set back', async () => {
    const one = rule('back', 1)
    await limiter.consume(one, 'subject')
    await shift('back', 5)
    const refused = await limiter.consume(one, 'subject')
    expect(refused.allowed).toBe(false)
    expect(refused.resetMs).toBeLessThanOrEqual(3_600_000)
  })

  it('goes on from what another store has counted, never back', async () => {
    const ten = rule('seen', 10)
    const seen = { count: 6, resetMs: 60_000 }
    const first = await limiter.consume(ten, 'subject', 1, seen)
    expect(first).toMatchObject({ allowed: true, remaining: 3 })
    expect(first.resetMs).toBeLessThanOrEqual(60_000)
    expect(await limiter.consume(ten, 'subject', 1, seen)).toMatchObject({ remaining: 2 })
    expect(await limiter.consume(ten, 'subject', 1, { ...seen, count: 9 })).toMatchObject({
      allowed: true,
      remaining: 0,
    })
    expect(await limiter.consume(ten, 'subject')).toMatchObject({ allowed: false })
  })

  it('lets pass with a burst no more than the limit where two windows meet', async () => {
    const ten = { ...rule('meet', 10), burst: true }
    const passed = async () => {
      const calls = Array.from({ length: 20 }, () => withBursts(limiter).consume(ten, 'subject'))
      return (await Promise.all(calls)).filter((one) => one.allowed).length
    }
    expect(await passed()).toBe(10)
    await shift('meet', -1)
    expect(await passed()).toBe(0)
    await shift('meet/burst', -1)
    expect(await passed()).toBe(10)
  })

  it('counts by several rules in one statement', async () => {
    const rules = ['one', 'two', 'three'].map((name) => ({ rule: rule(name, 5), subject: 'x' }))
    const before = database.statements.length
    const results = await limiter.consumeAll(rules, 2)
    expect(results.map(({ passed, remaining }) => [passed, remaining])).toEqual(
      rules.map(() => [2, 3]),
    )
    expect(database.statements.length - before).toBe(1)
  })

  it('sweeps the windows that have ended and no other', async () => {
    for (const subject of ['a', 'b', 'c']) await limiter.consume(rule('ended', 9), subject)
    await limiter.consume(rule('running', 9), 'a')
    await shift('ended', -1)
    expect(await limiter.sweep()).toBe(3)
    expect(await limiter.sweep()).toBe(0)
    expect(await limiter.consume(rule('running', 9), 'a')).toMatchObject({ remaining: 7 })
  })

  it('stays exact while it is swept', async () => {
    const [fifty, subjects] = [rule('swept', 50), ['a', 'b']]
    const calls = Array.from({ length: 200 }, (_, i) => limiter.consume(fifty, subjects[i % 2]!))
    const sweeps = Array.from({ length: 20 }, () => limiter.sweep())
    const [results] = await Promise.all([Promise.all(calls), Promise.all(sweeps)])
    expect(results.filter((one) => one.allowed)).toHaveLength(100)
  })

  it.skipIf(ENGINE === 'pglite')(
    'allows exactly the limit over three processes at once (needs Postgres)',
    async () => {
      const allowed = await consumeInProcesses(database.url!, rule('processes', 200), {
        processes: 3,
        calls: 500,
      })
      expect(allowed.reduce((sum, one) => sum + one)).toBe(200)
    },
  )
})
