import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, type Cluster, startCluster } from './cluster.ts'
import { ENGINE } from './harness.ts'
import { HAS_REDIS, type RedisServer, startRedis } from './redis-server.ts'

const PROCESSES = 3
const CALLS = 500
const LIMIT = 50

const many = <T>(count: number, one: (n: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => one(n)))

const tally = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { status, json } of answers) {
    const name = `${status} ${json.error?.code ?? 'ok'}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

const modelsOf = (cluster: Cluster) => (n: number, token: string) =>
  cluster.call(n, '/v1/models', { token })

/** How many passed; the others were refused. A busy machine may refuse some for want of a connection. */
function passedOf(answers: readonly Answer[]): number | undefined {
  const { '200 ok': passed, '503 unavailable': _, ...refused } = tally(answers)
  expect(Object.keys(refused)).toEqual(['429 rate_limited'])
  return passed
}

// An embedded database has one process.
describe.skipIf(ENGINE === 'pglite')('three processes that count in Postgres', () => {
  let cluster: Cluster
  let models: ReturnType<typeof modelsOf>
  beforeAll(async () => {
    cluster = await startCluster(PROCESSES, { RATE_LIMIT_ACCOUNT_RPM: String(LIMIT + 1) })
    models = modelsOf(cluster)
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  test(`of ${CALLS} calls at once with one key its limit passes`, async () => {
    const { key } = await cluster.createPayer({ requests_per_minute: LIMIT - 5 })
    const answers = await many(CALLS, (n) => models(n, key))
    expect(passedOf(answers)).toBe(LIMIT - 5)
  })

  test(`of ${CALLS} calls at once of one account its limit passes`, async () => {
    // The key was created by one call of the account.
    const { key } = await cluster.createPayer()
    expect(passedOf(await many(CALLS, (n) => models(n, key)))).toBe(LIMIT)
  })
})

describe.skipIf(ENGINE === 'pglite' || !HAS_REDIS)('three processes that count in Redis', () => {
  let redis: RedisServer
  let cluster: Cluster
  let models: ReturnType<typeof modelsOf>
  beforeAll(async () => {
    redis = await startRedis()
    cluster = await startCluster(PROCESSES, {
      REDIS_URL: redis.url,
      RATE_LIMIT_LOGIN_PER_MINUTE: '6',
    })
    models = modelsOf(cluster)
  })
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]()
    await redis[Symbol.asyncDispose]()
  })

  const login = (n: number) => {
    const body = { email: `nobody${n}@example.org`, password: 'correct horse battery' }
    return cluster.call(n, '/v1/auth/login', { body })
  }

  test(`of ${CALLS} calls at once with one key its limit passes`, async () => {
    const { key } = await cluster.createPayer({ requests_per_minute: LIMIT })
    expect(passedOf(await many(CALLS, (n) => models(n, key)))).toBe(LIMIT)
  })

  test('when Redis is lost under them, limits hold, those of logins closer, and no call fails', async () => {
    const { key } = await cluster.createPayer({ requests_per_minute: LIMIT })
    const answers: Answer[] = []
    for (let wave = 0; wave < 40; wave++) {
      const calls = many(PROCESSES * 2, (n) => models(n, key))
      if (wave === 5) redis.signal('SIGKILL')
      answers.push(...(await calls))
    }
    const { '200 ok': passed, ...refused } = tally(answers)
    expect(Object.keys(refused)).toEqual(['429 rate_limited'])
    expect(passed).toBeGreaterThanOrEqual(LIMIT)
    // What each process did not know of the others when it lost Redis.
    expect(passed).toBeLessThan(LIMIT + LIMIT / PROCESSES)

    const { '401 invalid_credentials': compared, ...throttled } = tally(await many(30, login))
    expect(Object.keys(throttled)).toEqual(['429 login_throttled'])
    expect(compared).toBeLessThanOrEqual(PROCESSES * 3)
    const { rows } = await sql<{ rule: string }>`select distinct rule from rate_limits`.execute(
      cluster.database.handle.db,
    )
    const rules = rows.map(({ rule }) => rule)
    expect(rules).toContain('key')
    expect(rules).not.toContain('login')
  })
})
