import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { parseId } from '../../kernel/ids.ts'
import * as keys from '../keys/keys.service.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
})
afterAll(() => app[Symbol.asyncDispose]())

const NEW_PASSWORD = 'a new good password'

let requests = 0
const from = () => ({ 'x-forwarded-for': `10.0.${++requests}.1` })
const me = (token: string) => app.request('GET', '/v1/auth/me', { token, headers: from() })
const loginStatus = async (email: string, password: string) =>
  (await app.request('POST', '/v1/auth/login', { body: { email, password } })).status
const change = (token: string, current_password: string, new_password: string = NEW_PASSWORD) =>
  app.request('POST', '/v1/auth/password', {
    token,
    headers: from(),
    body: { current_password, new_password },
  })

describe('me', () => {
  test('shows the account, its limit and its spend', async () => {
    const { id, email, token } = await app.register()
    const { status, json } = await me(token)
    expect(status).toBe(200)
    expect(json).toEqual({
      id,
      email,
      name: null,
      created_at: expect.stringMatching(/Z$/),
      monthly_limit_usd: null,
      spent_this_month_usd: 0,
    })
  })

  test('shows the server’s default limit where the account has none of its own', async () => {
    await using limited = await createTestApp({
      database: app.database.handle,
      env: { DEFAULT_MONTHLY_LIMIT_USD: '7.25' },
    })
    const { token, email } = await limited.register()
    const limit = async () =>
      (await limited.request('GET', '/v1/auth/me', { token })).json.monthly_limit_usd
    expect(await limit()).toBe(7.25)
    await app.database.handle.db
      .updateTable('users')
      .set({ monthly_limit_micros: 0 })
      .where('email', '=', email)
      .execute()
    expect(await limit()).toBe(0)
  })

  test('needs a token, takes no key, no query and no body', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    expect((await me(key)).json.error.code).toBe('session_required')
    const bare = await app.request('GET', '/v1/auth/me', { headers: from() })
    expect(bare.json.error.code).toBe('invalid_token')
    const asked = await app.request('GET', '/v1/auth/me?id=user_x', { token: user.token })
    expect(asked.json.error).toMatchObject({ code: 'invalid_input', param: 'id' })
  })
})

describe('changing the password', () => {
  test('lets in with the new one and no longer with the old one', async () => {
    const { email, password, token } = await app.register()
    const { status, text } = await change(token, password)
    expect({ status, text }).toEqual({ status: 204, text: '' })
    expect(await loginStatus(email, NEW_PASSWORD)).toBe(200)
    expect(await loginStatus(email, password)).toBe(401)
  })

  test('AUTH-11: ends every token at once, and no key', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    const other = await app.request('POST', '/v1/auth/login', {
      body: { email: user.email, password: user.password },
    })
    expect((await change(user.token, user.password)).status).toBe(204)
    for (const token of [user.token, other.json.access_token]) {
      const { status, json } = await me(token)
      expect(status).toBe(401)
      expect(json.error.code).toBe('invalid_token')
    }
    expect((await app.request('GET', '/v1/usage', { token: key })).status).toBe(200)
  })

  test('AUTH-11: with revoke_keys ends every key of this account too', async () => {
    const [user, stranger] = [await app.register(), await app.register()]
    const mine = [await app.createKey(user), await app.createKey(user)]
    const theirs = await app.createKey(stranger)
    const changeAndRevoke = (current_password: string) =>
      app.request('POST', '/v1/auth/password', {
        token: user.token,
        headers: from(),
        body: { current_password, new_password: NEW_PASSWORD, revoke_keys: true },
      })
    const works = async ({ key }: { key: string }) =>
      (await app.request('GET', '/v1/usage', { token: key, headers: from() })).status
    expect((await changeAndRevoke('wrong password')).status).toBe(401)
    for (const key of mine) expect(await works(key)).toBe(200)
    expect((await changeAndRevoke(user.password)).status).toBe(204)
    for (const key of mine) expect(await works(key)).toBe(401)
    expect(await works(theirs)).toBe(200)
    expect(await loginStatus(user.email, NEW_PASSWORD)).toBe(200)
  })

  test('AUTH-11: a key that was asked for just before the tokens ended is not created after', async () => {
    const user = await app.register()
    const owner = { userId: parseId('user', user.id) ?? '', tokenVersion: 1 }
    const input = { name: 'late', mode: 'test' as const, scopes: ['read' as const] }
    await keys.create(app.service.deps, owner, input)
    await app.request('POST', '/v1/auth/logout_all', { token: user.token, headers: from() })
    await expect(keys.create(app.service.deps, owner, input)).rejects.toMatchObject({
      code: 'invalid_token',
    })
  })

  test('is refused with a wrong current password, and changes nothing', async () => {
    const { email, password, token } = await app.register()
    const { status, json } = await change(token, 'wrong password')
    expect(status).toBe(401)
    expect(json.error).toMatchObject({ code: 'invalid_credentials', param: 'current_password' })
    expect((await me(token)).status).toBe(200)
    expect(await loginStatus(email, password)).toBe(200)
  })

  test.each([
    ['1a!qZx7', 'password_too_short'],
    ['x1'.repeat(37), 'password_too_long'],
    ['🎉🎈'.repeat(9) + 'x', 'password_too_long'],
    ['password123', 'password_too_common'],
  ])('AUTH-4, AUTH-5: %s is refused as %s', async (password, code) => {
    const user = await app.register()
    const { status, json } = await change(user.token, user.password, password)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code, param: 'new_password' })
    expect((await me(user.token)).status).toBe(200)
  })

  test('its own address is refused', async () => {
    const user = await app.register()
    const { json } = await change(user.token, user.password, user.email)
    expect(json.error.code).toBe('password_too_common')
  })

  test('AUTH-6: composed and decomposed forms are one', async () => {
    const { email, password, token } = await app.register()
    await change(token, password, 'caf\u00e9 au lait')
    expect(await loginStatus(email, 'cafe\u0301 au lait')).toBe(200)
    const session = await app.request('POST', '/v1/auth/login', {
      body: { email, password: 'caf\u00e9 au lait' },
    })
    expect((await change(session.json.access_token, 'cafe\u0301 au lait')).status).toBe(204)
  })

  test('of two at once exactly one wins', async () => {
    const { email, password, token } = await app.register()
    const answers = await Promise.all(
      ['first new password', 'other new password'].map((next) => change(token, password, next)),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.toSorted()).toEqual([204, 401])
    const winner = statuses.indexOf(204) === 0 ? 'first new password' : 'other new password'
    expect(await loginStatus(email, winner)).toBe(200)
  })

  test('needs a session and takes no further field', async () => {
    const user: Account = await app.register()
    const { key } = await app.createKey(user)
    expect((await change(key, user.password)).json.error.code).toBe('session_required')
    const { json } = await app.request('POST', '/v1/auth/password', {
      token: user.token,
      body: { current_password: user.password, new_password: NEW_PASSWORD, user_id: user.id },
    })
    expect(json.error).toMatchObject({ code: 'invalid_input', param: 'user_id' })
    expect((await me(user.token)).status).toBe(200)
  })
})
