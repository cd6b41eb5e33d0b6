import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DbHandle, openPostgres } from '../../db/client.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { disableUser } from '../auth/auth.service.ts'

let gate: Promise<void> | undefined
let calls = 0

let app: TestApp
/** Another service on the same database; on Postgres with a pool of its own, as another process. */
let second: TestApp
let pool: DbHandle | undefined
beforeAll(async () => {
  const env = { TRUST_PROXY: '127.0.0.1' }
  app = await createTestApp({ env })
  const { providers } = app.service.deps
  const sandbox = providers.test
  const gated: ImageProvider = {
    async generate(request) {
      calls++
      await gate
      return sandbox.generate(request)
    },
  }
  Object.assign(providers, { test: gated })
  const { url, handle } = app.database
  pool = url === undefined ? undefined : await openPostgres({ url }, { onConnectionError() {} })
  second = await createTestApp({ env, database: pool ?? handle })
})
afterAll(async () => {
  await second[Symbol.asyncDispose]()
  await pool?.close()
  await app[Symbol.asyncDispose]()
})

let requests = 0
const use = async (key: string, on = app, path = '/v1/generations') => {
  requests++
  const headers = { 'x-forwarded-for': `10.0.${requests >> 8}.${requests & 255}` }
  return (await on.request('GET', path, { token: key, headers })).status
}
const revoke = (user: Account, id: string, on = app) =>
  on.request('DELETE', `/v1/keys/${id}`, { token: user.token })

describe('KEY-7: a revoked key is dead on the next request', () => {
  test('at the service that revoked it and at another one', async () => {
    const user = await app.register()
    for (const [here, there] of [
      [app, second],
      [second, app],
    ] as const) {
      const { id, key } = await here.createKey(user)
      expect(await use(key, here)).toBe(200)
      expect(await use(key, there)).toBe(200)
      expect((await revoke(user, id, here)).status).toBe(204)
      expect(await use(key, here)).toBe(401)
      expect(await use(key, there)).toBe(401)
    }
  })

  test('under load no request sent after the answer is let in', async () => {
    const user = await app.register()
    for (let round = 0; round < 8; round++) {
      const { id, key } = await app.createKey(user)
      let revoked = false
      let late = 0
      const client = async (on: TestApp) => {
        for (let n = 0; n < 12; n++) {
          const sentAfter = revoked
          if ((await use(key, on)) === 200 && sentAfter) late++
        }
      }
      const load = [client(app), client(second), client(app), client(second)]
      await revoke(user, id)
      revoked = true
      await Promise.all(load)
      expect(late).toBe(0)
    }
  })

  test('a generation in flight ends normally and stays its owner’s', async () => {
    const user = await app.register()
    const { id, key } = await app.createKey(user)
    const open = Promise.withResolvers<void>()
    gate = open.promise
    const before = calls
    const running = app.request('POST', '/v1/generate', {
      token: key,
      body: { prompt: 'a banana that is waited for' },
    })
    await expect.poll(() => calls).toBe(before + 1)
    await revoke(user, id)
    open.resolve()
    const { status, json } = await running
    gate = undefined
    expect(status).toBe(200)
    expect(json.status).toBe('succeeded')
    expect(await use(user.token, app, `/v1/generations/${json.id}`)).toBe(200)
    expect(await use(key, app, `/v1/generations/${json.id}`)).toBe(401)
  })
})

describe('KEY-9: an owner who is disabled or gone', () => {
  test('has no working key and no working token at any service, at once', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    const { deps } = app.service
    expect(await disableUser(deps, user.email, true)).toBe(true)
    for (const on of [app, second])
      for (const credential of [key, user.token]) expect(await use(credential, on)).toBe(401)
    await disableUser(deps, user.email, false)
    for (const on of [app, second])
      for (const credential of [key, user.token]) expect(await use(credential, on)).toBe(200)

    await app.request('POST', '/v1/auth/delete_account', {
      token: user.token,
      body: { password: user.password },
    })
    for (const on of [app, second])
      for (const credential of [key, user.token]) expect(await use(credential, on)).toBe(401)
  })
})

describe('KEY-7: the last use', () => {
  const lastUsed = async (user: Account, id: string) =>
    (await app.request('GET', `/v1/keys/${id}`, { token: user.token })).json.last_used_at

  test('is written at most once a minute', async () => {
    const user = await app.register()
    const { id, key } = await app.createKey(user)
    expect(await lastUsed(user, id)).toBeNull()
    await use(key)
    await expect.poll(() => lastUsed(user, id)).toMatch(/Z$/)
    const first = await lastUsed(user, id)
    const writes = () =>
      app.database.statements.filter((text) => text.startsWith('update "api_keys"')).length
    const before = writes()
    for (let n = 0; n < 5; n++) await use(key)
    expect(await lastUsed(user, id)).toBe(first)
    expect(writes()).toBe(before)

    const { db } = app.database.handle
    await sql`update api_keys set last_used_at = now() - interval '61 seconds'`.execute(db)
    await use(key)
    await expect.poll(async () => (await lastUsed(user, id)) >= first).toBe(true)
    expect(writes()).toBe(before + 1)
  })

  test('fails no request when it cannot be written', async () => {
    const { db } = app.database.handle
    const user = await app.register()
    const { key } = await app.createKey(user)
    await sql`create function refuse() returns trigger language plpgsql
      as $$ begin raise exception 'the last use cannot be written'; end $$`.execute(db)
    await sql`create trigger refuse before update on api_keys execute function refuse()`.execute(db)
    expect(await use(key)).toBe(200)
    await expect.poll(() => JSON.stringify(app.logs)).toContain('the last use cannot be written')
    await sql`drop trigger refuse on api_keys`.execute(db)
  })
})
