import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPostgres } from '../../db/client.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { sweepTokens } from './auth.service.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
})
afterAll(() => app[Symbol.asyncDispose]())

let requests = 0
const from = () => ({ 'x-forwarded-for': `10.0.0.${++requests}` })
const post = (path: string, token: string) => app.request('POST', path, { token, headers: from() })
const statusOf = async (token: string, on = app) =>
  (await on.request('GET', '/v1/auth/me', { token, headers: from() })).status
const login = async ({ email, password }: Account): Promise<string> =>
  (await app.request('POST', '/v1/auth/login', { body: { email, password } })).json.access_token

describe('logout', () => {
  test('ends this token on the next request, and no other', async () => {
    const user = await app.register()
    const other = await login(user)
    const { status, text } = await post('/v1/auth/logout', user.token)
    expect({ status, text }).toEqual({ status: 204, text: '' })
    expect(await statusOf(user.token)).toBe(401)
    expect(await statusOf(other)).toBe(200)
    expect(await statusOf(await login(user))).toBe(200)
  })

  test('with a token that has ended is 401', async () => {
    const { token } = await app.register()
    await post('/v1/auth/logout', token)
    for (const path of ['/v1/auth/logout', '/v1/auth/logout_all'])
      expect((await post(path, token)).json.error.code).toBe('invalid_token')
  })

  test('twice at once is no error', async () => {
    const { token } = await app.register()
    const answers = await Promise.all([1, 2, 3].map(() => post('/v1/auth/logout', token)))
    for (const { status } of answers) expect([204, 401]).toContain(status)
    expect(await statusOf(token)).toBe(401)
  })

  test('forgets tokens that have ended by themselves', async () => {
    const { db } = app.database.handle
    const { token } = await app.register()
    await post('/v1/auth/logout', token)
    const jti = decodeJwt(token).jti!
    await db
      .updateTable('revoked_tokens')
      .set({ expires_at: new Date(Date.now() - 2 * 86_400_000) })
      .where('jti', '=', jti)
      .execute()
    expect(await sweepTokens(app.service.deps, new AbortController().signal)).toBe(1)
    const rows = await db.selectFrom('revoked_tokens').select('jti').execute()
    expect(rows.map((row) => row.jti)).not.toContain(jti)
  })
})

describe('logout_all', () => {
  test('ends every token of the account, and nobody else’s', async () => {
    const [user, stranger] = [await app.register(), await app.register()]
    const tokens = [user.token, await login(user), await login(user)]
    expect((await post('/v1/auth/logout_all', tokens[1]!)).status).toBe(204)
    for (const token of tokens) expect(await statusOf(token)).toBe(401)
    expect(await statusOf(stranger.token)).toBe(200)
    expect(await statusOf(await login(user))).toBe(200)
  })

  test('leaves API keys alone', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    await post('/v1/auth/logout_all', user.token)
    expect((await app.request('GET', '/v1/usage', { token: key })).status).toBe(200)
  })
})

describe('security', () => {
  test('JWT-6: what one service ends is dead at another on the next request', async () => {
    const { url, handle } = app.database
    const log = { onConnectionError: () => {} }
    const own = url === undefined ? undefined : await openPostgres({ url }, log)
    {
      await using second = await createTestApp({
        database: own ?? handle,
        env: { TRUST_PROXY: '127.0.0.1' },
      })
      const user = await app.register()
      const other = await login(user)
      expect(await statusOf(user.token, second)).toBe(200)
      await post('/v1/auth/logout', user.token)
      expect(await statusOf(user.token, second)).toBe(401)
      await post('/v1/auth/logout_all', other)
      expect(await statusOf(other, second)).toBe(401)
    }
    await own?.close()
  })

  test.each(['/v1/auth/logout', '/v1/auth/logout_all'])(
    'an API key, a stranger and nobody cannot call %s',
    async (path) => {
      const user = await app.register()
      const { key } = await app.createKey(user)
      const byKey = await post(path, key)
      expect(byKey.status).toBe(403)
      expect(byKey.json.error.code).toBe('session_required')
      expect((await app.request('POST', path, { headers: from() })).status).toBe(401)
      expect(await statusOf(user.token)).toBe(200)
    },
  )

  test('a body cannot name whose tokens end', async () => {
    const [user, victim] = [await app.register(), await app.register()]
    for (const path of ['/v1/auth/logout', '/v1/auth/logout_all']) {
      const body = { user_id: victim.id, jti: decodeJwt(victim.token).jti }
      const { status } = await app.request('POST', path, { token: user.token, body })
      expect(status).toBe(400)
    }
    expect(await statusOf(victim.token)).toBe(200)
    expect(await statusOf(user.token)).toBe(200)
  })
})
