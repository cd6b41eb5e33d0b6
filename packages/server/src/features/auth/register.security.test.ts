import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp({
    env: { TRUST_PROXY: '127.0.0.1', RATE_LIMIT_REGISTER_PER_HOUR: '5' },
  })
})
afterAll(() => app[Symbol.asyncDispose]())

let people = 0
const newEmail = () => `stranger${++people}@example.com`

const registerFrom = (ip: string, fields: Record<string, unknown> = {}) =>
  app.request('POST', '/v1/auth/register', {
    headers: { 'x-forwarded-for': ip },
    body: { email: newEmail(), password: 'correct horse battery', ...fields },
  })

async function statusesFrom(ips: readonly string[]): Promise<number[]> {
  const statuses = []
  for (const ip of ips) statuses.push((await registerFrom(ip)).status)
  return statuses
}

describe('AUTH-1: registrations of one address are bounded', () => {
  test('the 6th of an hour is 429 whether the email is taken or free', async () => {
    const email = newEmail()
    expect((await registerFrom('192.0.2.1', { email })).status).toBe(201)
    for (let n = 2; n <= 5; n++)
      expect((await registerFrom('192.0.2.1', { email })).status).toBe(409)

    const answers = [
      await registerFrom('192.0.2.1', { email }),
      await registerFrom('192.0.2.1', { email: newEmail() }),
    ]
    for (const { status, json, headers } of answers) {
      expect(status).toBe(429)
      expect(json.error).toMatchObject({ code: 'rate_limited', type: 'rate_limit_error' })
      expect(Number(headers['retry-after'])).toBeGreaterThan(3500)
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3600)
      expect(headers['x-should-retry']).toBe('true')
    }
    const [taken, free] = answers.map(({ json }) => ({ ...json.error, request_id: '' }))
    expect(taken).toEqual(free)
  })

  test('other addresses are not concerned', async () => {
    expect(await statusesFrom(['192.0.2.2'])).toEqual([201])
  })

  test('an IPv6 /64 counts as one address', async () => {
    const hosts = Array.from({ length: 6 }, (_, n) => `2001:db8:0:1::${n + 1}`)
    expect(await statusesFrom(hosts)).toEqual([201, 201, 201, 201, 201, 429])
    expect(await statusesFrom(['2001:db8:0:2::1'])).toEqual([201])
  })

  test('IPv4 written as IPv6 is the same address, and no other IPv4 address', async () => {
    const same = ['198.18.0.1', '::ffff:198.18.0.1', '::FFFF:198.18.0.1', '198.18.0.1']
    expect(await statusesFrom([...same, '198.18.0.1', '::ffff:198.18.0.1'])).toEqual([
      201, 201, 201, 201, 201, 429,
    ])
    expect(await statusesFrom(['::ffff:198.18.1.1'])).toEqual([201])
  })

  test.each([
    ['a /24', (n: number) => `203.0.113.${n}`, '203.0.114.1'],
    ['an IPv6 /48', (n: number) => `2001:db8:7:${n}::1`, '2001:db8:8:1::1'],
  ])('%s makes four times as many', async (_, host, neighbour) => {
    const hosts = Array.from({ length: 20 }, (_, n) => host(n + 1))
    expect(await statusesFrom(hosts)).toEqual(hosts.map(() => 201))
    expect(await statusesFrom([host(50)])).toEqual([429])
    expect(await statusesFrom([neighbour])).toEqual([201])
  })

  test('a refused address uses up nothing of its network', async () => {
    await statusesFrom(Array.from({ length: 40 }, () => '198.51.100.1'))
    expect(await statusesFrom(['198.51.100.2'])).toEqual([201])
  })
})

describe('AUTH-8: the normalised address is unique', () => {
  test('of 20 parallel registrations of A@x.com and a@X.com exactly one is made', async () => {
    const spellings = ['A@x.com', 'a@X.com', ' a@x.com ', 'A@X.COM']
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        registerFrom(`10.0.${n}.1`, { email: spellings[n % spellings.length] }),
      ),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(1)
    expect(statuses.filter((status) => status === 409)).toHaveLength(19)
    const rows = await app.database.handle.db
      .selectFrom('users')
      .select('id')
      .where('email', '=', 'a@x.com')
      .execute()
    expect(rows).toHaveLength(1)
  })
})

test.each(['id', 'user_id', 'userId', 'role', 'token_version', 'monthly_limit_usd', 'created_at'])(
  'AUTHZ-3: a body that sets %s makes no account',
  async (field) => {
    const email = newEmail()
    const { status, json } = await registerFrom(`10.1.${people}.1`, { email, [field]: '1' })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param: field })
    const { db } = app.database.handle
    expect(
      await db.selectFrom('users').select('id').where('email', '=', email).executeTakeFirst(),
    ).toBeUndefined()
  },
)

test('AUTH-3: the password is stored as bcrypt only, and stands in no log line', async () => {
  const email = newEmail()
  const password = 'a-canary-of-a-password-48151'
  await registerFrom('10.2.0.1', { email, password })
  await app.request('POST', '/v1/auth/login', { body: { email, password } })
  const row = await app.database.handle.db
    .selectFrom('users')
    .selectAll()
    .where('email', '=', email)
    .executeTakeFirstOrThrow()
  expect(row.password_hash).toMatch(/^\$2b\$04\$[./0-9A-Za-z]{53}$/)
  expect(JSON.stringify([row, app.logs])).not.toContain(password)
})
