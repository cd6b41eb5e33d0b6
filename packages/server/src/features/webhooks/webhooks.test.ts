import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Account, TestApp } from '../../../test/harness.ts'
import { createWorld, missingId } from '../../../test/world.ts'

const URL = 'http://127.0.0.1:9/hook'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createWorld()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const call = (method: string, path: string, body?: object, token = user.token) =>
  app.request(method, `/v1/webhooks${path}`, { token, ...(body === undefined ? {} : { body }) })
const create = (body: object = {}, token = user.token) =>
  call('POST', '', { url: URL, events: ['generation.succeeded'], ...body }, token)

describe('creating an endpoint', () => {
  test('shows its secret once', async () => {
    const { status, json, headers } = await create({ description: 'mine' })
    expect(status).toBe(201)
    expect(headers['cache-control']).toBe('no-store')
    expect(json).toEqual({
      id: expect.stringMatching(/^wh_[0-7][0-9a-hjkmnp-tv-z]{25}$/),
      url: URL,
      events: ['generation.succeeded'],
      description: 'mine',
      disabled: false,
      disabled_reason: null,
      disabled_at: null,
      failing_since: null,
      created_at: expect.stringMatching(/Z$/),
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    })
    const { secret: _, ...shown } = json
    expect((await call('GET', `/${json.id}`)).json).toEqual(shown)
    expect((await call('GET', '')).json.data[0]).toEqual(shown)
  })

  test('keeps the secret only under the server’s own', async () => {
    const { json } = await create()
    const secret = Buffer.from(json.secret.slice('whsec_'.length), 'base64')
    const rows = await app.database.handle.db.selectFrom('webhook_secrets').selectAll().execute()
    expect(rows.length).toBeGreaterThan(0)
    for (const row of rows) expect(Buffer.from(row.sealed).includes(secret)).toBe(false)
  })

  test.each([
    [{ url: undefined }, 'url'],
    [{ url: 'not a url' }, 'url'],
    [{ url: 'ftp://127.0.0.1/' }, 'url'],
    [{ url: 'http://user:password@127.0.0.1/' }, 'url'],
    [{ url: 'http://nowhere.invalid/' }, 'url'],
    [{ url: `http://127.0.0.1/${'x'.repeat(2048)}` }, 'url'],
    [{ events: [] }, 'events'],
    [{ events: ['generation.started'] }, 'events.0'],
    [{ events: ['generation.failed', 'generation.failed'] }, 'events'],
    [{ description: 'd'.repeat(257) }, 'description'],
    [{ secret: 'whsec_mine' }, 'secret'],
  ])('refuses %j as invalid input that names the field', async (body, param) => {
    const { status, json } = await create(body)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })

  test('an account has twenty, also when it asks for many at once', async () => {
    const { token } = await app.register()
    const made = await Promise.all(Array.from({ length: 24 }, () => create({}, token)))
    const codes = made.map(({ status }) => status).toSorted()
    expect(codes).toEqual([...Array<number>(20).fill(201), ...Array<number>(4).fill(409)])
    const [one] = (await call('GET', '?limit=100', undefined, token)).json.data
    await call('DELETE', `/${one.id}`, undefined, token)
    expect((await create({}, token)).status).toBe(201)
  })
})

describe('a list', () => {
  test('goes page by page, newest first', async () => {
    const { token } = await app.register()
    const ids = []
    for (let n = 0; n < 3; n++) ids.push((await create({}, token)).json.id)
    const first = (await call('GET', '?limit=2', undefined, token)).json
    const cursor = `?limit=2&cursor=${first.next_cursor}`
    const second = (await call('GET', cursor, undefined, token)).json
    const seen = [...first.data, ...second.data].map(({ id }: { id: string }) => id)
    expect(seen).toEqual(ids.toReversed())
    expect(second.next_cursor).toBeNull()
  })
})

describe('changing an endpoint', () => {
  test('sets what is named and leaves the rest', async () => {
    const { json } = await create({ description: 'before' })
    const { secret: _, ...shown } = json
    const changes = { url: 'http://127.0.0.1:10/', events: ['generation.failed'] }
    const changed = await call('PATCH', `/${json.id}`, changes)
    expect(changed.json).toEqual({ ...shown, ...changes })
    const cleared = await call('PATCH', `/${json.id}`, { description: null })
    expect(cleared.json).toEqual({ ...shown, ...changes, description: null })
  })

  test('disables it and enables it again', async () => {
    const { json } = await create()
    const disabled = await call('PATCH', `/${json.id}`, { disabled: true })
    expect(disabled.json).toMatchObject({ disabled: true, disabled_reason: 'user' })
    const enabled = await call('PATCH', `/${json.id}`, { disabled: false })
    expect(enabled.json).toMatchObject({
      disabled: false,
      disabled_reason: null,
      disabled_at: null,
    })
  })

  test.each([
    [{}, null],
    [{ url: 'gopher://x/' }, 'url'],
    [{ url: null }, 'url'],
    [{ disabled: 'yes' }, 'disabled'],
  ])('refuses %j', async (body, param) => {
    const { json } = await create()
    const changed = await call('PATCH', `/${json.id}`, body)
    expect(changed.json.error).toMatchObject({ code: 'invalid_input', param })
    await call('DELETE', `/${json.id}`)
  })
})

describe('deleting an endpoint', () => {
  test('makes it and its deliveries disappear', async () => {
    const { json } = await create()
    expect((await call('DELETE', `/${json.id}`)).status).toBe(204)
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/deliveries'],
      ['POST', '/test'],
      ['POST', '/rotate_secret'],
    ] as const) {
      const body = method === 'POST' ? {} : undefined
      const answer = await call(method, `/${json.id}${path}`, body)
      expect(answer.json.error.code, path).toBe('not_found')
    }
    const { rows } = await sql<{ url: string }>`
      select url from webhooks where deleted_at is not null`.execute(app.database.handle.db)
    expect(new Set(rows.map(({ url }) => url))).toEqual(new Set(['']))
  })

  test('an unknown delivery is not sent again', async () => {
    const { json } = await create()
    const path = `/${json.id}/deliveries/${missingId('dlv')}/redeliver`
    expect((await call('POST', path, {})).json.error.code).toBe('not_found')
  })
})

test('an account that is deleted leaves nothing of its endpoints', async () => {
  const { token, password } = await app.register()
  await create({ url: 'http://127.0.0.1:9/of-somebody-who-left' }, token)
  await app.request('POST', '/v1/auth/delete_account', { token, body: { password } })
  const rows = await app.database.handle.db
    .selectFrom('webhooks')
    .select('id')
    .where('url', 'like', '%who-left')
    .execute()
  expect(rows).toEqual([])
})
