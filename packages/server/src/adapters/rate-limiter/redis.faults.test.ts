import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { RateLimitResult, RateLimitRule } from '../../ports/rate-limiter.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/harness.ts'
import { HAS_REDIS, type RedisServer, startRedis } from '../../../test/redis-server.ts'
import { createPostgresRateLimiter, type PostgresRateLimiter } from './postgres.ts'
import { createRedisRateLimiter, type RedisRateLimiter } from './redis.ts'

const LOST = 'the rate limiter lost Redis'
const FOUND = 'the rate limiter has Redis again'

describe.skipIf(!HAS_REDIS)('the limiter in a faulty Redis (needs redis-server)', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(() => database[Symbol.asyncDispose]())

  let redis: RedisServer
  let limiter: RedisRateLimiter
  let logs: string[]
  let counters: string[]
  let opened: RedisRateLimiter[]
  let fallback: Pick<PostgresRateLimiter, 'consume'>
  beforeEach(async () => {
    redis = await startRedis()
    logs = []
    counters = []
    opened = []
    fallback = createPostgresRateLimiter(database.handle.db)
    limiter = await open()
  })
  afterEach(async () => {
    for (const one of opened) one.close()
    await redis[Symbol.asyncDispose]()
  })

  async function open(url = redis.url, commandTimeoutMs = 1000): Promise<RedisRateLimiter> {
    const note = (...words: unknown[]) => {
      for (const word of words) logs.push(typeof word === 'string' ? word : JSON.stringify(word))
    }
    const made = await createRedisRateLimiter({
      url,
      fallback: { consume: (...call) => fallback.consume(...call), sweep: async () => 0 },
      onFallback: (store) => void counters.push(store),
      log: { info: note, warn: note },
      // Long enough for a busy machine, which is no fault of the server.
      commandTimeoutMs,
      probeIntervalMs: 50,
    })
    opened.push(made)
    return made
  }

  let rules = 0
  const rule = (limit: number, more: Partial<RateLimitRule> = {}): RateLimitRule => ({
    name: `rule-${++rules}`,
    limit,
    windowSeconds: 60,
    ...more,
  })
  const consume = (one: RateLimitRule, times: number, on = limiter): Promise<RateLimitResult[]> =>
    Promise.all(Array.from({ length: times }, () => on.consume(one, 'subject')))
  const allowed = (results: RateLimitResult[]) => results.filter((one) => one.allowed).length
  const transitions = () => logs.filter((line) => line === LOST || line === FOUND)

  /** Calls on rules of their own until Redis answers again. */
  const recover = () =>
    expect
      .poll(async () => (await consume(rule(1), 1), transitions().at(-1)), { timeout: 10_000 })
      .toBe(FOUND)

  it('tells of each call who counted it in its place', async () => {
    await consume(rule(5), 2)
    expect(counters).toEqual([])
    await redis.kill()
    await consume(rule(5), 1)
    await consume(rule(5, { strict: true }), 1)
    fallback = { consume: () => Promise.reject(new Error('the database is lost too')) }
    await consume(rule(5), 1)
    expect(counters).toEqual(['fallback', 'process', 'process'])
  })

  it('goes on from what it saw when Redis is killed, and returns to it', async () => {
    const hundred = rule(100)
    expect(allowed(await consume(hundred, 60))).toBe(60)
    await redis.kill()
    expect(allowed(await consume(hundred, 100))).toBe(40)
    await redis.restart()
    await recover()
    fallback = { consume: () => Promise.reject(new Error('a call did not return to Redis')) }
    expect(allowed(await consume(rule(5), 10))).toBe(5)
    expect(transitions()).toEqual([LOST, FOUND])
  })

  it('answers every call, and stays exact, when Redis is killed among them', async () => {
    const twoHundred = rule(200)
    const results: RateLimitResult[] = []
    for (let round = 0; round < 40; round++) {
      const calls = consume(twoHundred, 10)
      if (round === 10) redis.signal('SIGKILL')
      results.push(...(await calls))
    }
    expect(results).toHaveLength(400)
    expect(allowed(results)).toBe(200)
    expect(transitions()).toEqual([LOST])
  })

  it('lets pass less than one process has a share of when three lose it under load', async () => {
    const ninety = rule(90)
    const three = [limiter, await open(), await open()]
    const before: RateLimitResult[][] = []
    for (let round = 0; round < 20; round++)
      before.push(await Promise.all(three.map((one) => one.consume(ninety, 'subject'))))
    await redis.kill()
    const after = await Promise.all(three.map((one) => consume(ninety, 100, one)))
    const passed = allowed([...before, ...after].flat())
    expect(passed).toBeGreaterThanOrEqual(90)
    expect(passed).toBeLessThan(90 + 30)
  })

  it('does not wait for a Redis that is slow', async () => {
    const fifty = rule(50)
    expect(allowed(await consume(fifty, 20))).toBe(20)
    redis.signal('SIGSTOP')
    expect(allowed(await consume(fifty, 100))).toBe(30)
    redis.signal('SIGCONT')
    await recover()
    expect(transitions()).toEqual([LOST, FOUND])
  })

  it('takes Redis for no slower than it is when the process itself is busy', async () => {
    const impatient = await open(redis.url, 400)
    expect(allowed(await consume(rule(3), 5, impatient))).toBe(3)
    const calls = consume(rule(3), 5, impatient)
    // Sent, and not yet answered.
    for (let turn = 0; turn < 20; turn++) await undefined
    const until = performance.now() + 600
    while (performance.now() < until);
    expect(allowed(await calls)).toBe(3)
    expect(transitions()).toEqual([])
  })

  it('counts elsewhere while Redis is out of memory', async () => {
    const fifty = rule(50)
    expect(allowed(await consume(fifty, 20))).toBe(20)
    await redis.command('config', 'set', 'maxmemory', '1')
    expect(allowed(await consume(fifty, 100))).toBe(30)
    expect(logs.join()).toContain('OOM')
    await redis.command('config', 'set', 'maxmemory', '0')
    await recover()
  })

  it('counts elsewhere while Redis is a replica, and connects anew to find the primary', async () => {
    // The oldest connection is the limiter's.
    const connection = async () =>
      /^id=\d+/.exec(String(await redis.command('client', 'list')))?.[0]
    expect(allowed(await consume(rule(3), 5))).toBe(3)
    const before = await connection()
    await redis.command('replicaof', '127.0.0.1', '1')
    expect(allowed(await consume(rule(3), 5))).toBe(3)
    expect(logs.join()).toContain('READONLY')
    await expect.poll(connection).not.toBe(before)
    await redis.command('replicaof', 'no', 'one')
    await recover()
  })

  it('starts anew after FLUSHALL, without a word', async () => {
    const three = rule(3)
    expect(allowed(await consume(three, 5))).toBe(3)
    await redis.command('flushall')
    await redis.command('script', 'flush')
    expect(allowed(await consume(three, 5))).toBe(3)
    expect(logs).toEqual([])
  })

  it('starts without Redis and finds it when it comes', async () => {
    await redis.kill()
    expect(allowed(await consume(rule(3), 5))).toBe(3)
    expect(logs.join()).toContain('ECONNREFUSED')
    await redis.restart()
    await recover()
    expect(transitions()).toEqual([LOST, FOUND])
  })

  it('starts before a Redis that is slow', async () => {
    redis.signal('SIGSTOP')
    expect(allowed(await consume(rule(3), 5))).toBe(3)
    redis.signal('SIGCONT')
    await recover()
  })

  it('counts strict rules by itself, to half of the limit', async () => {
    const [fresh, begun] = [rule(20, { strict: true }), rule(20, { strict: true })]
    expect(allowed(await consume(begun, 8))).toBe(8)
    await redis.kill()
    fallback = {
      consume: async () => ({ allowed: true, passed: 1, remaining: 1, resetMs: 1 }),
    }
    expect(allowed(await consume(fresh, 50))).toBe(10)
    expect(allowed(await consume(begun, 50))).toBe(2)
    expect(allowed(await consume(rule(1, { strict: true }), 5))).toBe(1)
    expect(allowed(await consume(rule(0, { strict: true }), 5))).toBe(0)
  })

  it('neither throws nor lets all pass when the fallback fails too', async () => {
    await redis.kill()
    fallback = { consume: () => Promise.reject(new Error('the database is gone')) }
    expect(allowed(await consume(rule(20), 50))).toBe(10)
  })

  it('tells of a wrong password without the password', async () => {
    await redis.command('config', 'set', 'requirepass', 'right')
    const stranger = await open(redis.url.replace('//', '//:TOP-SECRET@'))
    expect(allowed(await consume(rule(3), 5, stranger))).toBe(3)
    expect(logs.join()).toContain('WRONGPASS')
    expect(logs.join()).not.toContain('TOP-SECRET')
  })
})
