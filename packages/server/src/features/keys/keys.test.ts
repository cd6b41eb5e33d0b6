import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const create = (body: object, token = user.token) =>
  app.request('POST', '/v1/keys', { token, body })
const get = (id: string, token = user.token) => app.request('GET', `/v1/keys/${id}`, { token })
const patch = (id: string, body: object, token = user.token) =>
  app.request('PATCH', `/v1/keys/${id}`, { token, body })
const revoke = (id: string, token = user.token) =>
  app.request('DELETE', `/v1/keys/${id}`, { token })

const FUTURE = '2099-01-31T12:00:00.000Z'

describe('creating a key', () => {
  test('by its name alone gives a live key that may generate and read', async () => {
    const { status, json, headers } = await create({ name: 'plain' })
    expect(status).toBe(201)
    expect(headers['cache-control']).toBe('no-store')
    expect(json).toEqual({
      id: expect.stringMatching(/^key_[0-7][0-9a-hjkmnp-tv-z]{25}$/),
      name: 'plain',
      prefix: `${json.key.slice(0, 12)}...`,
      mode: 'live',
      scopes: ['generate', 'read'],
      status: 'active',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      last_used_at: null,
      expires_at: null,
      monthly_limit_usd: null,
      spent_this_month_usd: 0,
      requests_per_minute: null,
      max_concurrency: null,
      key: expect.stringMatching(/^nb_live_[0-9A-Za-z]{32}$/),
    })
  })

  test('takes every setting and gives it back', async () => {
    const settings = {
      name: 'K'.repeat(62) + '🍌🍌',
      mode: 'test',
      scopes: ['usage'],
      expires_at: FUTURE,
      monthly_limit_usd: 12.345678,
      requests_per_minute: 100_000,
      max_concurrency: 1000,
    }
    const { status, json } = await create(settings)
    expect(status).toBe(201)
    expect(json).toMatchObject(settings)
    const { key: _, ...shown } = json
    expect((await get(json.id)).json).toEqual(shown)
  })

  test('reads a time with an offset, and null as none', async () => {
    const { json } = await create({
      name: 'offset',
      expires_at: '2099-01-31T14:00:00+02:00',
      monthly_limit_usd: null,
      requests_per_minute: null,
      max_concurrency: null,
    })
    expect(json).toMatchObject({ expires_at: FUTURE, monthly_limit_usd: null })
    await revoke(json.id)
  })

  test.each([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: ' \t ' }, 'name'],
    [{ name: 'n'.repeat(65) }, 'name'],
    [{ name: 'a\0b' }, 'name'],
    [{ name: 'x', mode: 'prod' }, 'mode'],
    [{ name: 'x', scopes: [] }, 'scopes'],
    [{ name: 'x', scopes: ['read', 'read'] }, 'scopes'],
    [{ name: 'x', scopes: ['admin'] }, 'scopes.0'],
    [{ name: 'x', expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
    [{ name: 'x', expires_at: '0000-01-01T00:00:00Z' }, 'expires_at'],
    [{ name: 'x', expires_at: '2099-13-01T00:00:00Z' }, 'expires_at'],
    [{ name: 'x', expires_at: '9999-12-31T23:59:59-23:59' }, 'expires_at'],
    [{ name: 'x', expires_at: '2099-01-01' }, 'expires_at'],
    [{ name: 'x', expires_at: 4_102_444_800 }, 'expires_at'],
    [{ name: 'x', monthly_limit_usd: -0.01 }, 'monthly_limit_usd'],
    [{ name: 'x', monthly_limit_usd: 1_000_000.01 }, 'monthly_limit_usd'],
    [{ name: 'x', monthly_limit_usd: '5' }, 'monthly_limit_usd'],
    [{ name: 'x', requests_per_minute: 0 }, 'requests_per_minute'],
    [{ name: 'x', requests_per_minute: 1.5 }, 'requests_per_minute'],
    [{ name: 'x', max_concurrency: 1001 }, 'max_concurrency'],
    [{ name: 'x', user_id: 'user_x' }, 'user_id'],
    [{ name: 'x', status: 'active' }, 'status'],
    [{ name: 'x', key: `nb_live_${'a'.repeat(32)}` }, 'key'],
  ])('refuses %j as invalid input that names the field', async (body, param) => {
    const { status, json } = await create(body)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })
})

describe('changing a key', () => {
  test('sets what is named and leaves the rest', async () => {
    const { json } = await create({ name: 'before', monthly_limit_usd: 5, max_concurrency: 2 })
    const { key: _, ...shown } = json
    const { status, json: changed } = await patch(json.id, {
      name: 'after',
      expires_at: FUTURE,
      requests_per_minute: 7,
    })
    expect(status).toBe(200)
    expect(changed).toEqual({
      ...shown,
      name: 'after',
      expires_at: FUTURE,
      requests_per_minute: 7,
    })
    await revoke(json.id)
  })

  test('null clears a limit and the expiry', async () => {
    const limits = { monthly_limit_usd: 5, requests_per_minute: 7, max_concurrency: 2 }
    const { json } = await create({ name: 'limited', expires_at: FUTURE, ...limits })
    const cleared = Object.fromEntries(
      [...Object.keys(limits), 'expires_at'].map((name) => [name, null]),
    )
    expect((await patch(json.id, cleared)).json).toMatchObject(cleared)
    expect((await get(json.id)).json).toMatchObject({ ...cleared, name: 'limited' })
    await revoke(json.id)
  })

  test('disabled stops it at once, and enabling lets it in again', async () => {
    const { json } = await create({ name: 'switch', scopes: ['usage'] })
    const use = async () => (await app.request('GET', '/v1/usage', { token: json.key })).status
    expect(await use()).toBe(200)
    expect((await patch(json.id, { disabled: true })).json.status).toBe('disabled')
    expect(await use()).toBe(401)
    expect((await patch(json.id, { disabled: false })).json.status).toBe('active')
    expect(await use()).toBe(200)
    await revoke(json.id)
  })

  test.each([
    [{}, null],
    [{ name: null }, 'name'],
    [{ name: '' }, 'name'],
    [{ disabled: null }, 'disabled'],
    [{ disabled: 'true' }, 'disabled'],
    [{ expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
    [{ mode: 'test' }, 'mode'],
    [{ scopes: ['usage'] }, 'scopes'],
    [{ status: 'active' }, 'status'],
    [{ id: 'key_01jd5xk3f8e2r9v7m6q4t0w1yz' }, 'id'],
    [{ prefix: 'nb_live_xxxx...' }, 'prefix'],
  ])('refuses %j and changes nothing', async (body, param) => {
    const { json: before } = await create({ name: 'steady' })
    const { status, json } = await patch(before.id, body)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
    const { key: _, ...shown } = before
    expect((await get(before.id)).json).toEqual(shown)
    await revoke(before.id)
  })
})

describe('revoking a key', () => {
  test('is for good, is no error twice, and leaves it listed', async () => {
    const { json } = await create({ name: 'gone' })
    for (let n = 0; n < 2; n++) {
      const { status, text } = await revoke(json.id)
      expect({ status, text }).toEqual({ status: 204, text: '' })
    }
    expect((await get(json.id)).json).toMatchObject({ name: 'gone', status: 'revoked' })
    for (const body of [{ disabled: false }, { name: 'back' }]) {
      const { status, json: refusal } = await patch(json.id, body)
      expect(status).toBe(400)
      expect(refusal.error).toMatchObject({ code: 'invalid_input', param: 'id' })
    }
    const { status } = await app.request('POST', `/v1/keys/${json.id}/rotate`, {
      token: user.token,
      body: {},
    })
    expect(status).toBe(400)
  })
})

describe('listing keys', () => {
  test('pages newest first, each key once, until the cursor is null', async () => {
    const owner = await app.register()
    const made: string[] = []
    for (let n = 0; n < 7; n++) made.push((await app.createKey(owner, { name: `n${n}` })).id)
    await app.createKey(user)
    const pages: string[][] = []
    let cursor = ''
    do {
      const query = cursor === '' ? '' : `&cursor=${cursor}`
      const { status, json } = await app.request('GET', `/v1/keys?limit=3${query}`, owner)
      expect(status).toBe(200)
      pages.push(json.data.map((key: { id: string }) => key.id))
      cursor = json.next_cursor ?? ''
    } while (cursor !== '')
    expect(pages.map((page) => page.length)).toEqual([3, 3, 1])
    expect(pages.flat()).toEqual(made.toReversed())
  })

  test('of a page that ends exactly at the last key has no further one', async () => {
    const owner = await app.register()
    for (let n = 0; n < 2; n++) await app.createKey(owner)
    const { json } = await app.request('GET', '/v1/keys?limit=2', owner)
    expect(json.data).toHaveLength(2)
    expect(json.next_cursor).toBeNull()
  })

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=1.5', 'limit'],
    ['cursor=nonsense', 'cursor'],
    ['cursor=gen_01jd5xk3f8e2r9v7m6q4t0w1yz', 'cursor'],
    ['cursor=%00', 'cursor'],
    ['status=active', 'status'],
  ])('refuses ?%s', async (query, param) => {
    const { status, json } = await app.request('GET', `/v1/keys?${query}`, user)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })
})
