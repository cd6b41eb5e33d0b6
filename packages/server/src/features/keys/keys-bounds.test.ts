import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const create = ({ token }: Account, body: object = {}) =>
  app.request('POST', '/v1/keys', { token, body: { name: 'a key', mode: 'test', ...body } })
const list = async ({ token }: Account) =>
  (await app.request('GET', '/v1/keys?limit=100', { token })).json.data as {
    id: string
    status: string
  }[]
const activeOf = async (user: Account) =>
  (await list(user)).filter(({ status }) => status === 'active').length
const patch = (user: Account, id: string, body: object) =>
  app.request('PATCH', `/v1/keys/${id}`, { token: user.token, body })
const revoke = ({ token }: Account, id: string) =>
  app.request('DELETE', `/v1/keys/${id}`, { token })
const rotate = ({ token }: Account, id: string, body: object = {}) =>
  app.request('POST', `/v1/keys/${id}/rotate`, { token, body })
const use = (key: string) => app.request('GET', '/v1/generations', { token: key })

/** Moves the key's end a second into the past. */
const expire = (id: string) =>
  sql`update api_keys set expires_at = now() - interval '1 second' where id = ${parseId('key', id)}`.execute(
    app.database.handle.db,
  )
/** Moves the end of the key's older secrets into the past. */
const endGrace = (id: string) =>
  sql`update api_key_secrets set expires_at = now() - interval '1 second'
      where key_id = ${parseId('key', id)} and expires_at is not null`.execute(
    app.database.handle.db,
  )
const secretsOf = async (id: string) =>
  (
    await app.database.handle.db
      .selectFrom('api_key_secrets')
      .select('digest')
      .where('key_id', '=', parseId('key', id)!)
      .execute()
  ).length

describe('KEY-8: an account has at most 25 active keys', () => {
  test('of 50 parallel creations exactly 25 succeed', async () => {
    const [user, stranger] = [await app.register(), await app.register()]
    const answers = await Promise.all(Array.from({ length: 50 }, () => create(user)))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(25)
    const refused = answers.filter(({ status }) => status === 409)
    expect(refused).toHaveLength(25)
    for (const { json, headers } of refused) {
      expect(json.error).toMatchObject({ type: 'conflict_error', code: 'key_limit_reached' })
      expect(headers['x-should-retry']).toBe('false')
    }
    expect(await activeOf(user)).toBe(25)
    expect((await create(stranger)).status).toBe(201)
  })

  test('a disabled key counts, a revoked or expired one makes room', async () => {
    const user = await app.register()
    const made = []
    for (let n = 0; n < 25; n++) made.push((await create(user)).json.id)
    await patch(user, made[0], { disabled: true })
    expect((await create(user)).status).toBe(409)
    await revoke(user, made[1])
    expect((await create(user)).status).toBe(201)
    expect((await create(user)).status).toBe(409)
    await expire(made[2])
    expect((await create(user)).status).toBe(201)
    expect((await create(user)).status).toBe(409)
  })

  test('an expired key cannot come back as the 26th', async () => {
    const user = await app.register()
    const first = (await create(user)).json.id
    await expire(first)
    for (let n = 0; n < 25; n++) expect((await create(user)).status).toBe(201)
    for (const expires_at of [null, '2099-01-01T00:00:00Z']) {
      const { status, json } = await patch(user, first, { expires_at })
      expect(status).toBe(409)
      expect(json.error.code).toBe('key_limit_reached')
    }
    expect(await activeOf(user)).toBe(25)
    expect((await patch(user, first, { name: 'still expired' })).status).toBe(200)
    await revoke(user, (await list(user))[0]!.id)
    expect((await patch(user, first, { expires_at: null })).json.status).toBe('active')
  })

  test('rotating takes no further place', async () => {
    const user = await app.register()
    const first = (await create(user)).json.id
    for (let n = 1; n < 25; n++) await create(user)
    expect((await rotate(user, first, { grace_seconds: 60 })).status).toBe(201)
    expect(await activeOf(user)).toBe(25)
  })
})

describe('KEY-8: a key ends at its expiry', () => {
  test('a second past it is 401, and the list says expired', async () => {
    const user = await app.register()
    const { id, key } = (await create(user, { expires_at: '2099-01-01T00:00:00Z' })).json
    expect((await use(key)).status).toBe(200)
    await expire(id)
    const { status, json } = await use(key)
    expect(status).toBe(401)
    expect(json.error.code).toBe('invalid_api_key')
    expect(await list(user)).toMatchObject([{ id, status: 'expired' }])

    expect((await patch(user, id, { disabled: true })).json.status).toBe('expired')
    expect((await patch(user, id, { disabled: false, expires_at: null })).json.status).toBe(
      'active',
    )
    expect((await use(key)).status).toBe(200)
    await expire(id)
    await revoke(user, id)
    expect(await list(user)).toMatchObject([{ id, status: 'revoked' }])
  })

  test('the database’s clock decides, not this process’s', async () => {
    const now = () => new Date(Date.now() + 3 * 86_400_000)
    await using fast = await createTestApp({ database: app.database.handle, now })
    const user = await app.register()
    const expires_at = new Date(Date.now() + 86_400_000).toISOString()
    const { key } = (await create(user, { expires_at })).json
    expect((await fast.request('GET', '/v1/generations', { token: key })).status).toBe(200)
  })
})

describe('rotating a key', () => {
  test('without grace ends the old secret at once; id, settings and usage stay', async () => {
    const user = await app.register()
    const settings = { scopes: ['read'], monthly_limit_usd: 3, requests_per_minute: 9 }
    const { key, ...before } = (await create(user, settings)).json
    const { status, json, headers } = await rotate(user, before.id)
    expect(status).toBe(201)
    expect(headers['cache-control']).toBe('no-store')
    expect(json.key).toMatch(/^nb_test_[0-9A-Za-z]{32}$/)
    expect(json.key).not.toBe(key)
    const prefix = `${json.key.slice(0, 12)}...`
    expect(json).toEqual({ ...before, prefix, key: json.key })
    expect((await use(key)).status).toBe(401)
    expect((await use(json.key)).status).toBe(200)
    expect(await secretsOf(before.id)).toBe(1)
  })

  test('with grace lets both in until the grace ends', async () => {
    const user = await app.register()
    const { id, key } = (await create(user)).json
    const fresh = (await rotate(user, id, { grace_seconds: 604_800 })).json.key
    for (const secret of [key, fresh]) expect((await use(secret)).status).toBe(200)
    await endGrace(id)
    expect((await use(key)).status).toBe(401)
    expect((await use(fresh)).status).toBe(200)
  })

  test('leaves at most two live secrets, the newest ones', async () => {
    const user = await app.register()
    const { id, key } = (await create(user)).json
    const secrets = [key]
    for (let n = 0; n < 4; n++)
      secrets.push((await rotate(user, id, { grace_seconds: 3600 })).json.key)
    const statuses = []
    for (const secret of secrets) statuses.push((await use(secret)).status)
    expect(statuses).toEqual([401, 401, 401, 200, 200])
    expect(await secretsOf(id)).toBe(2)
  })

  test('in parallel ends with one or two live secrets', async () => {
    const user = await app.register()
    const { id } = (await create(user)).json
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => rotate(user, id, { grace_seconds: 60 })),
    )
    const live = []
    for (const { status, json } of answers) {
      expect(status).toBe(201)
      if ((await use(json.key)).status === 200) live.push(json.prefix)
    }
    expect(live).toHaveLength(2)
    expect(await secretsOf(id)).toBe(2)
    const shown = (await app.request('GET', `/v1/keys/${id}`, { token: user.token })).json.prefix
    expect(live).toContain(shown)
  })

  test('a revoked, disabled or expired key stays so, with its new secret too', async () => {
    const user = await app.register()
    const { id } = (await create(user)).json
    await patch(user, id, { disabled: true })
    const fresh = (await rotate(user, id, { grace_seconds: 60 })).json
    expect(fresh.status).toBe('disabled')
    expect((await use(fresh.key)).status).toBe(401)
    await patch(user, id, { disabled: false })
    expect((await use(fresh.key)).status).toBe(200)
    await revoke(user, id)
    expect((await use(fresh.key)).status).toBe(401)
  })

  test.each([-1, 604_801, 1.5, '60', null])('refuses a grace of %j', async (grace_seconds) => {
    const user = await app.register()
    const { id, key } = (await create(user)).json
    const { status, json } = await rotate(user, id, { grace_seconds })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param: 'grace_seconds' })
    expect((await use(key)).status).toBe(200)
  })
})
