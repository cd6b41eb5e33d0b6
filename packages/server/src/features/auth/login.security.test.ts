import bcrypt from 'bcrypt'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type Account,
  createTestApp,
  type TestApp,
  type TestResponse,
} from '../../../test/harness.ts'
import { disableUser } from './auth.service.ts'

const compare = vi.spyOn(bcrypt, 'compare')

let app: TestApp
let user: Account
let disabled: Account
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
  user = await app.register()
  disabled = await app.register()
  await disableUser(app.service.deps, disabled.email, true)
})
afterAll(async () => {
  compare.mockRestore()
  await app[Symbol.asyncDispose]()
})

const login = (email: string, password: string, ip = '192.0.2.1') =>
  app.request('POST', '/v1/auth/login', {
    headers: { 'x-forwarded-for': ip },
    body: { email, password },
  })

const OVER_LONG = 'x1'.repeat(37)

/** Each kind of refused login: none may be told from another. */
const CLASSES: [string, () => [email: string, password: string]][] = [
  ['an unknown email', () => ['nobody@example.com', 'correct horse battery']],
  ['no email at all', () => ['nobody', 'correct horse battery']],
  ['a wrong password', () => [user.email, 'wrong horse battery']],
  ['an over-long password', () => [user.email, OVER_LONG]],
  ['an over-long password of an unknown email', () => ['nobody@example.com', OVER_LONG]],
  ['a disabled user', () => [disabled.email, disabled.password]],
  ['a wrong password of a disabled user', () => [disabled.email, 'wrong horse battery']],
]

/** What a stranger can see, without what differs from answer to answer anyway. */
function visible({ status, headers, text, json }: TestResponse) {
  const { 'x-request-id': id, date: _, ...others } = headers
  expect(json.error.request_id).toBe(id)
  return { status, headers: others, text: text.replaceAll(json.error.request_id, 'req') }
}

beforeAll(async () => {
  // The dummy hash is made in the background.
  await login('warm-up@example.com', 'some password')
})

describe('AUTH-1: a refused login tells nothing', () => {
  test('also by its time: no kind is answered only after its row in the audit log', async () => {
    const { db } = app.database.handle
    const [someone, off] = [await app.register(), await app.register()]
    await disableUser(app.service.deps, off.email, true)
    await app.service.deps.background.drain()
    await sql`alter table audit rename to lost`.execute(db)
    const answers = [
      await login('nobody-at-all@example.com', someone.password),
      await login(someone.email, 'wrong horse battery'),
      await login(off.email, off.password),
    ]
    await app.service.deps.background.drain()
    await sql`alter table lost rename to audit`.execute(db)
    expect(answers.map(({ json }) => json.error.code)).toEqual(
      answers.map(() => 'invalid_credentials'),
    )
    const lost = app.logs.filter(({ task }) => task === 'record a failed login')
    expect(lost).toHaveLength(answers.length)
  })

  test('every kind is answered byte for byte alike, with the same headers', async () => {
    const answers = []
    for (const [, credentials] of CLASSES) answers.push(await login(...credentials()))
    const [first, ...others] = answers.map(visible)
    expect(first).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
    expect(JSON.parse(first!.text).error).toEqual({
      type: 'authentication_error',
      code: 'invalid_credentials',
      message: expect.any(String),
      param: null,
      request_id: 'req',
    })
    for (const other of others) expect(other).toEqual(first)
  })
})

describe('AUTH-2: every login runs one compare, at one cost', () => {
  test.each(CLASSES)('%s', async (_, credentials) => {
    compare.mockClear()
    expect((await login(...credentials())).status).toBe(401)
    expect(compare.mock.calls.map(([, hash]) => bcrypt.getRounds(String(hash)))).toEqual([4])
  })

  test('a right password', async () => {
    compare.mockClear()
    expect((await login(user.email, user.password)).status).toBe(200)
    expect(compare.mock.calls.map(([, hash]) => bcrypt.getRounds(String(hash)))).toEqual([4])
  })
})

test('AUTH-4: a password of 72 bytes and one character more is refused', async () => {
  const email = 'exact72@example.com'
  const password = 'x1'.repeat(36)
  await app.request('POST', '/v1/auth/register', { body: { email, password } })
  expect((await login(email, `${password}y`)).status).toBe(401)
  expect((await login(email, password)).status).toBe(200)
})

test('AUTH-9: an address may try 20 logins a minute by default, whoever it asks for', async () => {
  await using strict = await createTestApp({
    database: app.database.handle,
    env: { TRUST_PROXY: '127.0.0.1', RATE_LIMIT_LOGIN_PER_MINUTE: '' },
  })
  const from = (ip: string, n: number) =>
    strict.request('POST', '/v1/auth/login', {
      headers: { 'x-forwarded-for': ip },
      body: { email: `somebody${n}@example.com`, password: 'some password' },
    })
  for (let n = 0; n < 20; n++) expect((await from(`2001:db8::${n}`, n)).status).toBe(401)
  compare.mockClear()
  const { status, json, headers } = await from('2001:db8::ffff', 21)
  expect(status).toBe(429)
  expect(json.error.code).toBe('login_throttled')
  expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60)
  expect(compare).not.toHaveBeenCalled()
  expect((await from('2001:db8:0:1::1', 22)).status).toBe(401)
})

test('OUT-5: no answer and no log line holds a password or a hash', async () => {
  const { json } = await login(user.email, user.password)
  const seen = JSON.stringify([json, app.logs])
  expect(seen).not.toContain(user.password)
  expect(seen).not.toMatch(/\$2[aby]\$/)
})

// Timing is for a quiet machine: LONG_TESTS=1 vitest run login.security
test.runIf(process.env['LONG_TESTS'])(
  'AUTH-2: the medians of 200 logins of each kind differ by less than 5 %',
  { timeout: 1_800_000 },
  async () => {
    await using real = await createTestApp({ bcryptCost: 12 })
    const known = await real.register()
    const off = await real.register()
    await disableUser(real.service.deps, off.email, true)
    const kinds = [
      ['nobody@example.com', 'correct horse battery'],
      [known.email, 'wrong horse battery'],
      [known.email, OVER_LONG],
      [off.email, off.password],
    ] as const
    const times = kinds.map((): number[] => [])
    for (let round = 0; round < 200; round++) {
      for (const [kind, [email, password]] of kinds.entries()) {
        await real.database.handle.db.deleteFrom('login_attempts').execute()
        const start = performance.now()
        await real.request('POST', '/v1/auth/login', { body: { email, password } })
        times[kind]!.push(performance.now() - start)
      }
    }
    const medians = times.map((list) => list.toSorted((a, b) => a - b)[100]!)
    const [least, most] = [Math.min(...medians), Math.max(...medians)]
    expect(most / least, medians.join(' ms, ')).toBeLessThan(1.05)
  },
)

describe('AUTH-4: a password of any length', () => {
  test('is refused like a wrong one at login, and by its name at registration', async () => {
    const account = { email: 'long@example.com', password: 'x'.repeat(5000) }
    const login = await app.request('POST', '/v1/auth/login', { body: account })
    expect(login.status).toBe(401)
    expect(login.json.error.code).toBe('invalid_credentials')
    const registration = await app.request('POST', '/v1/auth/register', { body: account })
    expect(registration.status).toBe(400)
    expect(registration.json.error).toMatchObject({ code: 'password_too_long', param: 'password' })
  })
})
