import { createHash } from 'node:crypto'
import bcrypt from 'bcrypt'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type DbHandle, openPostgres } from '../../db/client.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { sweepAttempts, unlockUser } from './auth.service.ts'
import { beginAttempt, takeBackAttempt } from './login-attempts.ts'
import { findAttempts } from './login-attempts.repo.ts'

const compare = vi.spyOn(bcrypt, 'compare')

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(async () => {
  compare.mockRestore()
  await app[Symbol.asyncDispose]()
})

const login = (email: string, password: string, on = app) =>
  on.request('POST', '/v1/auth/login', { body: { email, password } })

async function failTimes(times: number, email: string): Promise<void> {
  for (let n = 0; n < times; n++) expect((await login(email, 'wrong password')).status).toBe(401)
}

/** Moves the addresses' waits into the past, as if the time had gone by. */
const letWaitsEnd = () =>
  sql`update login_attempts set retry_at = now() - interval '1 second'`.execute(
    app.database.handle.db,
  )
const setFailures = (failures: number) =>
  sql`update login_attempts set failures = ${failures}`.execute(app.database.handle.db)

async function expectThrottled(email: string, password: string, waitSeconds: number) {
  compare.mockClear()
  const { status, json, headers } = await login(email, password)
  expect(status).toBe(429)
  expect(json.error).toMatchObject({ type: 'rate_limit_error', code: 'login_throttled' })
  expect(Number(headers['retry-after'])).toBeLessThanOrEqual(waitSeconds)
  expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(waitSeconds - 1)
  expect(headers['x-should-retry']).toBe('true')
  expect(compare).not.toHaveBeenCalled()
}

describe('AUTH-9: after five failures in a row an email must wait', () => {
  test('the 6th attempt is 429 without a compare, also with the right password', async () => {
    const user = await app.register()
    await failTimes(5, user.email)
    await expectThrottled(user.email, 'wrong password', 2)
    await expectThrottled(user.email, user.password, 2)
    await expectThrottled(user.email.toUpperCase(), user.password, 2)
  })

  test('so it is for an email that nobody registered', async () => {
    await failTimes(5, 'nobody-here@example.com')
    await expectThrottled('nobody-here@example.com', 'any password', 2)
  })

  test('the refusals of both read alike', async () => {
    const user = await app.register()
    await failTimes(5, user.email)
    await failTimes(5, 'nobody-there@example.com')
    const answers = [
      await login(user.email, user.password),
      await login('nobody-there@example.com', user.password),
    ]
    const [known, unknown] = answers.map(({ json, headers }) => ({
      error: { ...json.error, request_id: '' },
      names: Object.keys(headers).toSorted(),
    }))
    expect(known).toEqual(unknown)
  })

  test('the wait doubles with each further failure, up to 15 minutes', async () => {
    const { email } = await app.register()
    await failTimes(5, email)
    for (const wait of [4, 8, 16]) {
      await letWaitsEnd()
      await failTimes(1, email)
      await expectThrottled(email, 'wrong password', wait)
    }
    await setFailures(90)
    await letWaitsEnd()
    await failTimes(1, email)
    await expectThrottled(email, 'wrong password', 900)
  })

  test('a success after the wait resets the count', async () => {
    const user = await app.register()
    await failTimes(5, user.email)
    await letWaitsEnd()
    expect((await login(user.email, user.password)).status).toBe(200)
    await failTimes(4, user.email)
    expect((await login(user.email, user.password)).status).toBe(200)
  })

  test('one email’s failures are not another’s', async () => {
    const [one, other] = [await app.register(), await app.register()]
    await failTimes(5, one.email)
    expect((await login(other.email, other.password)).status).toBe(200)
  })

  test('tokens and keys that were issued before go on working', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    await failTimes(5, user.email)
    await expectThrottled(user.email, user.password, 2)
    for (const [path, token] of [
      ['/v1/auth/me', user.token],
      ['/v1/usage', key],
    ] as const)
      expect((await app.request('GET', path, { token })).status).toBe(200)
  })

  test('a wrong current password counts like a login, whatever the route', async () => {
    const { email, token } = await app.register()
    const wrong = { current_password: 'wrong', new_password: 'a new good password' }
    for (const [path, body] of [
      ['password', wrong],
      ['password', wrong],
      ['delete_account', { password: 'wrong' }],
      ['delete_account', { password: 'wrong' }],
    ] as const) {
      const { status, json } = await app.request('POST', `/v1/auth/${path}`, { token, body })
      expect(status).toBe(401)
      expect(json.error.code).toBe('invalid_credentials')
    }
    await failTimes(1, email)
    await expectThrottled(email, 'wrong password', 2)
    for (const path of ['password', 'delete_account']) {
      const body = path === 'password' ? wrong : { password: 'wrong' }
      const { json } = await app.request('POST', `/v1/auth/${path}`, { token, body })
      expect(json.error.code).toBe('login_throttled')
    }
  })
})

describe('AUTH-9: parallel guesses cannot slip past the count', () => {
  let pool: DbHandle | undefined
  let second: TestApp
  beforeAll(async () => {
    const { url, handle } = app.database
    // A pool of its own where there can be one, as another process would have.
    const log = { onConnectionError: () => {} }
    pool = url === undefined ? undefined : await openPostgres({ url }, log)
    second = await createTestApp({ database: pool ?? handle })
  })
  afterAll(async () => {
    await second[Symbol.asyncDispose]()
    await pool?.close()
  })

  test.each([
    ['a registered email', () => app.register().then(({ email }) => email)],
    ['an unknown email', async () => 'parallel-nobody@example.com'],
  ])('50 at once over two services run at most 5 compares for %s', async (_, makeEmail) => {
    const email = await makeEmail()
    compare.mockClear()
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => login(email, `guess ${n}`, n % 2 ? app : second)),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(45)
    expect(compare).toHaveBeenCalledTimes(5)
  })
})

describe('AUTH-9: after a hundred failures only the operator helps', () => {
  let user: Account
  beforeAll(async () => {
    user = await app.register()
    await failTimes(1, user.email)
    await setFailures(99)
    await letWaitsEnd()
    await failTimes(1, user.email)
    await letWaitsEnd()
  })

  test('the right password is refused for good, without a compare', async () => {
    compare.mockClear()
    const { status, json, headers } = await login(user.email, user.password)
    expect(status).toBe(429)
    expect(json.error).toMatchObject({ code: 'login_throttled' })
    expect(json.error.message).toContain('operator')
    expect(headers['retry-after']).toBeUndefined()
    expect(headers['x-should-retry']).toBe('false')
    expect(compare).not.toHaveBeenCalled()
  })

  test('its keys and tokens go on working', async () => {
    const { key } = await app.createKey(user)
    expect((await app.request('GET', '/v1/usage', { token: key })).status).toBe(200)
  })

  test('`user unlock` lifts it', async () => {
    expect(await unlockUser(app.service.deps, user.email.toUpperCase())).toBe(true)
    expect((await login(user.email, user.password)).status).toBe(200)
    expect(await unlockUser(app.service.deps, 'not-registered@example.com')).toBe(false)
  })
})

describe('AUTH-9: what is taken back', () => {
  const failuresOf = (address: string) => findAttempts(app.database.handle.db, hash(address))
  const hash = (address: string) => createHash('sha256').update(address).digest()

  test('is one attempt and the wait that it began', async () => {
    const { db } = app.database.handle
    await failTimes(4, 'overloaded@example.com')
    const fifth = await beginAttempt(db, 'overloaded@example.com')
    await takeBackAttempt(db, fifth)
    expect(await failuresOf('overloaded@example.com')).toMatchObject({
      failures: 4,
      wait_seconds: null,
    })
  })

  test('is not the wait that a later attempt began', async () => {
    const { db } = app.database.handle
    const address = 'overtaken@example.com'
    await failTimes(4, address)
    const slow = await beginAttempt(db, address)
    await letWaitsEnd()
    await failTimes(1, address)
    await takeBackAttempt(db, slow)
    expect((await failuresOf(address))?.failures).toBe(5)
    await expectThrottled(address, 'wrong password', 4)
  })
})

describe('failures of long ago', () => {
  const { signal } = new AbortController()
  const setAge = (days: number) =>
    sql`update login_attempts set attempted_at = now() - make_interval(days => ${days}::int)`.execute(
      app.database.handle.db,
    )

  test('are forgotten after thirty days, but not a stop, which the operator lifts', async () => {
    const { db } = app.database.handle
    await db.deleteFrom('login_attempts').execute()
    await failTimes(1, 'stopped@example.com')
    await setFailures(100)
    await failTimes(3, 'long-ago@example.com')
    await setAge(29)
    expect(await sweepAttempts(app.service.deps, signal)).toBe(0)
    await setAge(31)
    await failTimes(1, 'lately@example.com')
    expect(await sweepAttempts(app.service.deps, signal)).toBe(1)
    const left = await db.selectFrom('login_attempts').select('failures').execute()
    expect(left.map(({ failures }) => failures).toSorted()).toEqual([1, 100])
  })
})
