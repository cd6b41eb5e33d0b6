import bcrypt from 'bcrypt'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { AppError } from '../../kernel/app-error.ts'
import {
  type Account,
  createTestApp,
  type TestApp,
  type TestResponse,
} from '../../../test/harness.ts'
import { bcryptSlots } from './password.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const login = (email: string, password: string, on = app) =>
  on.request('POST', '/v1/auth/login', { body: { email, password } })
const me = (token: string) => app.request('GET', '/v1/auth/me', { token })
const storedHash = async (email: string) =>
  (
    await app.database.handle.db
      .selectFrom('users')
      .select('password_hash')
      .where('email', '=', email)
      .executeTakeFirstOrThrow()
  ).password_hash

describe('logging in', () => {
  test('answers a bearer token of one week that works', async () => {
    const { status, json, headers } = await login(user.email, user.password)
    expect(status).toBe(200)
    expect(json).toEqual({
      access_token: expect.any(String),
      token_type: 'bearer',
      expires_in: 604_800,
    })
    expect(headers['cache-control']).toBe('no-store')
    const seen = await me(json.access_token)
    expect(seen.status).toBe(200)
    expect(seen.json).toMatchObject({ id: user.id, email: user.email, spent_this_month_usd: 0 })
  })

  test('twice gives two tokens that live side by side', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => login(user.email, user.password)))
    const tokens = [one!, two!].map(({ json }) => json.access_token as string)
    expect(decodeJwt(tokens[0]!).jti).not.toBe(decodeJwt(tokens[1]!).jti)
    for (const token of tokens) expect((await me(token)).status).toBe(200)
  })

  test.each([
    [{ email: 'someone@example.com' }, 'password'],
    [{ password: 'correct horse battery' }, 'email'],
    [{ email: 'someone@example.com', password: '' }, 'password'],
    [{ email: 'someone@example.com', password: ['correct horse battery'] }, 'password'],
    [{ email: 'someone@example.com', password: 'correct horse', remember: true }, 'remember'],
  ])('refuses %j as invalid input', async (body, param) => {
    const { status, json } = await app.request('POST', '/v1/auth/login', { body })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })

  test('works over tRPC as over REST', async () => {
    const body = { email: user.email, password: user.password }
    const right = await app.request('POST', '/trpc/auth.login', { body })
    expect(right.status).toBe(200)
    expect((await me(right.json.result.data.access_token)).status).toBe(200)

    const wrong = await app.request('POST', '/trpc/auth.login', {
      body: { ...body, password: 'wrong password' },
    })
    expect(wrong.status).toBe(401)
    expect(wrong.json.error.data.error).toMatchObject({ code: 'invalid_credentials' })
  })
})

describe('AUTH-3: the stored hash keeps up with the configured cost', () => {
  let dearer: TestApp
  beforeAll(async () => {
    dearer = await createTestApp({ database: app.database.handle, bcryptCost: 5 })
  })
  afterAll(() => dearer[Symbol.asyncDispose]())

  test('a hash of cost 12 has the form of bcrypt 2b', async () => {
    await using real = await createTestApp({ database: app.database.handle, bcryptCost: 12 })
    const body = { email: 'dear@example.com', password: 'correct horse battery' }
    await real.request('POST', '/v1/auth/register', { body })
    expect(await storedHash(body.email)).toMatch(/^\$2b\$12\$[./0-9A-Za-z]{53}$/)
  })

  test('a login rehashes when the stored cost is lower, and only then', async () => {
    const { email, password } = await app.register()
    const before = await storedHash(email)
    expect(before).toMatch(/^\$2b\$04\$/)

    expect((await login(email, 'wrong password', dearer)).status).toBe(401)
    expect(await storedHash(email)).toBe(before)

    expect((await login(email, password, dearer)).status).toBe(200)
    await dearer.service.deps.background.drain()
    const after = await storedHash(email)
    expect(after).toMatch(/^\$2b\$05\$/)

    expect((await login(email, password, dearer)).status).toBe(200)
    expect((await login(email, password)).status).toBe(200)
    await dearer.service.deps.background.drain()
    expect(await storedHash(email)).toBe(after)
  })

  test('a rehash ends no token', async () => {
    const { email, password, token } = await app.register()
    await login(email, password, dearer)
    await dearer.service.deps.background.drain()
    expect(await storedHash(email)).toMatch(/^\$2b\$05\$/)
    expect((await me(token)).status).toBe(200)
  })

  test('a rehash neither delays nor fails the login', async () => {
    const { email, password } = await app.register()
    const gate = Promise.withResolvers<string>()
    const hash = vi.spyOn(dearer.service.deps.passwords, 'hash').mockReturnValue(gate.promise)
    onTestFinished(() => hash.mockRestore())
    expect((await login(email, password, dearer)).status).toBe(200)
    expect(hash).toHaveBeenCalledOnce()
    gate.reject(new AppError('overloaded'))
    await dearer.service.deps.background.drain()
    expect(await storedHash(email)).toMatch(/^\$2b\$04\$/)
  })

  test('a rehash in the middle of a password change does not refuse it', async () => {
    const { email, password, token } = await app.register()
    const { hash } = dearer.service.deps.passwords
    const spy = vi.spyOn(dearer.service.deps.passwords, 'hash')
    onTestFinished(() => spy.mockRestore())
    spy.mockImplementationOnce(async (text) => {
      await login(email, password, dearer)
      await dearer.service.deps.background.drain()
      return hash(text)
    })
    const changed = await dearer.request('POST', '/v1/auth/password', {
      token,
      body: { current_password: password, new_password: 'a new good password' },
    })
    expect(spy).toHaveBeenCalledTimes(2)
    expect(changed.status).toBe(204)
    expect((await login(email, 'a new good password')).status).toBe(200)
  })

  test('the password can be changed and the account deleted while its hash is of a lower cost', async () => {
    const { email, password, token } = await app.register()
    const changed = await dearer.request('POST', '/v1/auth/password', {
      token,
      body: { current_password: password, new_password: 'a new good password' },
    })
    expect(changed.status).toBe(204)
    expect(await storedHash(email)).toMatch(/^\$2b\$05\$/)
    const session = await login(email, 'a new good password')
    const deleted = await dearer.request('POST', '/v1/auth/delete_account', {
      token: session.json.access_token,
      body: { password: 'a new good password' },
    })
    expect(deleted.status).toBe(204)
  })
})

describe('AUTH-10: bcrypt is bounded', () => {
  test('what finds the queue full is 503 overloaded, to be repeated in a second', async () => {
    const gate = Promise.withResolvers<void>()
    const real = bcrypt.compare
    const compare = vi.spyOn(bcrypt, 'compare')
    compare.mockImplementation(async (password: string | Buffer, hash: string) => {
      await gate.promise
      return real(password, hash)
    })
    onTestFinished(() => compare.mockRestore())
    await using busy = await createTestApp({ database: app.database.handle })
    // So many run, 32 wait, and the rest is refused at once.
    const rest = 50 - bcryptSlots() - 32
    const refused: TestResponse[] = []
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const answer = await login(`guest${n}@example.com`, 'some password', busy)
        if (answer.status !== 401 && refused.push(answer) === rest) gate.resolve()
      }),
    )
    expect(refused.length).toBeGreaterThanOrEqual(rest)
    for (const { status, json, headers } of refused) {
      expect(status).toBe(503)
      expect(json.error).toMatchObject({ type: 'unavailable_error', code: 'overloaded' })
      expect(headers['retry-after']).toBe('1')
      expect(headers['x-should-retry']).toBe('true')
    }
    expect((await login(user.email, user.password, busy)).status).toBe(200)
  })

  test('an attempt whose password was never compared counts for nothing', async () => {
    const { email, password } = await app.register()
    const { passwords } = app.service.deps
    const verify = vi.spyOn(passwords, 'verify')
    onTestFinished(() => verify.mockRestore())
    verify.mockRejectedValue(new AppError('overloaded', undefined, { retryAfterSeconds: 1 }))
    for (let n = 0; n < 7; n++) expect((await login(email, password)).status).toBe(503)
    verify.mockRestore()
    for (let n = 0; n < 4; n++) expect((await login(email, 'wrong password')).status).toBe(401)
    expect((await login(email, password)).status).toBe(200)
  })
})
