import { createHash, randomBytes } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, JWT_SECRET, type TestApp } from '../../../test/harness.ts'
import { authenticate } from './auth.service.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const me = (token: string, on = app) => on.request('GET', '/v1/auth/me', { token })
const login = async ({ email, password }: Account, on = app): Promise<string> =>
  (await on.request('POST', '/v1/auth/login', { body: { email, password } })).json.access_token
const kidOf = (secret: string) => createHash('sha256').update(secret).digest('hex').slice(0, 8)

test('JWT-1: a token is HS256, signed by the secret its kid names', () => {
  expect(decodeProtectedHeader(user.token)).toEqual({
    alg: 'HS256',
    typ: 'JWT',
    kid: kidOf(JWT_SECRET),
  })
})

test('JWT-5: a token says who, from when, until when, and nothing else', () => {
  const claims = decodeJwt(user.token)
  expect(claims).toEqual({
    sub: user.id,
    jti: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/),
    iat: expect.any(Number),
    exp: claims.iat! + 604_800,
    iss: 'nanobanana',
    aud: 'nanobanana',
    ver: 1,
  })
  expect(Math.abs(claims.iat! - Date.now() / 1000)).toBeLessThan(30)
})

describe('JWT-1: a token lives for seven days', () => {
  let now: Date
  let later: TestApp
  beforeAll(async () => {
    later = await createTestApp({ database: app.database.handle, now: () => now })
  })
  afterAll(() => later[Symbol.asyncDispose]())

  test.each([
    ['a second before its end', 604_799, 200],
    ['beyond its end and the tolerance of five seconds', 604_806, 401],
    ['on a clock six seconds behind the one that signed', -6, 401],
    ['on a clock a few seconds behind the one that signed', -4, 200],
  ])('%s', async (_, offsetSeconds, status) => {
    now = new Date(((decodeJwt(user.token).iat ?? 0) + offsetSeconds) * 1000)
    expect((await me(user.token, later)).status).toBe(status)
  })
})

test('JWT-4: a new secret signs while the old one verifies, until it is dropped', async () => {
  const newSecret = randomBytes(32).toString('hex')
  const other = randomBytes(32).toString('hex')
  const { handle: database } = app.database
  const old = user.token
  await using both = await createTestApp({
    database,
    env: { JWT_SECRET: `${newSecret}, ${JWT_SECRET}` },
  })
  await using dropped = await createTestApp({
    database,
    env: { JWT_SECRET: `${newSecret},${other}` },
  })
  const fresh = await login(user, both)
  expect(decodeProtectedHeader(fresh).kid).toBe(kidOf(newSecret))

  expect((await me(old, both)).status).toBe(200)
  expect((await me(fresh, both)).status).toBe(200)
  expect((await me(old, dropped)).status).toBe(401)
  expect((await me(fresh, dropped)).status).toBe(200)
  expect((await me(fresh)).status).toBe(401)
})

test('JWT-7: two tokens that start alike always show their own user', async () => {
  const other = await app.register()
  expect(other.token.slice(0, 40)).toBe(user.token.slice(0, 40))
  for (let n = 0; n < 1000; n++) {
    const { token, id } = n % 2 === 0 ? user : other
    const session = await authenticate(app.service.deps, token)
    expect(session?.userId).toBe(parseId('user', id))
  }
  for (const { token, id } of [user, other, user, other]) expect((await me(token)).json.id).toBe(id)
})

test('JWT-5: rights come from the database, read anew on each request', async () => {
  const { handle } = app.database
  const someone = await app.register()
  await handle.db
    .updateTable('users')
    .set({ monthly_limit_micros: 12_500_000, name: 'renamed' })
    .where('email', '=', someone.email)
    .execute()
  expect((await me(someone.token)).json).toMatchObject({ monthly_limit_usd: 12.5, name: 'renamed' })
})
