import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cluster, startCluster } from './cluster.ts'
import { ENGINE } from './harness.ts'

const PROCESSES = 3
const why = ENGINE === 'postgres' ? '' : ' (skipped: needs TEST_DATABASE_URL)'

describe.skipIf(ENGINE === 'pglite')(`AUTH-9 over ${PROCESSES} processes${why}`, () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster(PROCESSES)
  }, 60_000)
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  const credentials = { email: 'somebody@example.com', password: 'correct horse battery' }
  const hashOf = (email: string) => createHash('sha256').update(email).digest()

  async function statusesOf(count: number, email: string): Promise<number[]> {
    const answers = await Promise.all(
      Array.from({ length: count }, (_, n) =>
        cluster.call(n, '/v1/auth/login', { body: { email, password: `guess ${n}` } }),
      ),
    )
    return answers.map(({ status }) => status)
  }

  async function failuresOf(email: string): Promise<number | undefined> {
    const row = await cluster.database.handle.db
      .selectFrom('login_attempts')
      .select('failures')
      .where('address', '=', hashOf(email))
      .executeTakeFirst()
    return row?.failures
  }

  const setFailures = (email: string, failures: number) =>
    sql`
      insert into login_attempts (address, failures) values (${hashOf(email)}, ${failures})
      on conflict (address) do update set failures = ${failures}, retry_at = null`.execute(
      cluster.database.handle.db,
    )

  const times = (count: number, status: number) => Array<number>(count).fill(status)

  test.each(['somebody@example.com', 'nobody@example.com'])(
    'of 60 wrong logins at once to %s exactly five are compared and counted',
    async (email) => {
      if (email === credentials.email)
        await cluster.call(0, '/v1/auth/register', { body: credentials })
      const statuses = await statusesOf(60, email)
      expect(statuses.toSorted()).toEqual([...times(5, 401), ...times(55, 429)])
      expect(await failuresOf(email)).toBe(5)
    },
  )

  test('after a wait exactly one of 60 is compared, and the hundredth failure is the last', async () => {
    const { email } = credentials
    for (const [before, compared] of [
      [7, 1],
      [99, 1],
      [100, 0],
    ] as const) {
      await setFailures(email, before)
      const statuses = await statusesOf(60, email)
      expect(statuses.toSorted()).toEqual([...times(compared, 401), ...times(60 - compared, 429)])
      expect(await failuresOf(email)).toBe(before + compared)
    }
    const right = await cluster.call(1, '/v1/auth/login', { body: credentials })
    expect(right.status).toBe(429)
  })

  test('guesses that find no time for a compare are not counted', async () => {
    const email = 'flooded@example.com'
    await setFailures(email, 4)
    const others = Array.from({ length: 150 }, (_, n) =>
      cluster.call(0, '/v1/auth/login', {
        body: { email: `other${n}@example.com`, password: 'a wrong password' },
      }),
    )
    const answer = await cluster.call(0, '/v1/auth/login', {
      body: { email, password: 'a wrong password' },
    })
    await Promise.all(others)
    expect(await failuresOf(email)).toBe(answer.status === 503 ? 4 : 5)
    const counted = await cluster.database.handle.db
      .selectFrom('login_attempts')
      .select(({ fn }) => fn.sum<string>('failures').as('failures'))
      .where(
        'address',
        'in',
        Array.from({ length: 150 }, (_, n) => hashOf(`other${n}@example.com`)),
      )
      .executeTakeFirstOrThrow()
    const refused = (await Promise.all(others)).filter(({ status }) => status === 401)
    expect(Number(counted.failures)).toBe(refused.length)
  })
})
