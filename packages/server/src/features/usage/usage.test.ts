import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { transaction } from '../../db/client.ts'
import { addToDay, type DayFigures } from './ledger.repo.ts'
import { parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const usage = (token: string, query = '') =>
  app.request('GET', `/v1/usage${query === '' ? '' : `?${query}`}`, { token })

/** Books a charge at a time, as a generation of that time would have. */
async function book(user: Account, at: string, changes: Partial<DayFigures> = {}): Promise<void> {
  await transaction(app.database.handle.db, async (tx) => {
    const figures: DayFigures = {
      user_id: parseId('user', user.id)!,
      mode: 'live',
      day: at.slice(0, 10),
      key_id: null,
      model: 'gemini-nano-banana-2.1',
      images: 1,
      input_tokens: 8,
      output_tokens: 1980,
      cost_micros: 50_412,
      ...changes,
    }
    await addToDay(tx, figures)
    for (const owner_id of [figures.user_id, ...(figures.key_id === null ? [] : [figures.key_id])])
      await sql`insert into spending values (${owner_id}, ${at.slice(0, 7)}, ${figures.cost_micros}::bigint)
        on conflict (owner_id, month) do update set micros = spending.micros + excluded.micros`.execute(
        tx,
      )
  })
}

const one = { requests: 1, images: 1, input_tokens: 8, output_tokens: 1980, cost_usd: 0.050412 }
const times = (n: number) => ({
  requests: n,
  images: n,
  input_tokens: 8 * n,
  output_tokens: 1980 * n,
  cost_usd: (50_412 * n) / 1e6,
})

describe('usage', () => {
  test('of a new account is empty, with a total of nothing', async () => {
    const { token } = await app.register()
    const { status, json } = await usage(token)
    expect(status).toBe(200)
    expect(json).toEqual({ data: [], total: times(0) })
  })

  test('by day counts UTC days, both ends included, newest first', async () => {
    const user = await app.register()
    for (const at of [
      '2026-03-30T23:59:59.999Z',
      '2026-03-31T00:00:00.000Z',
      '2026-03-31T23:59:59.999Z',
      '2026-04-01T00:00:00.000Z',
      '2026-04-02T00:00:00.000Z',
    ])
      await book(user, at)
    // A session far from UTC must not move a day.
    for (const zone of ['Pacific/Kiritimati', 'Etc/GMT+12', 'UTC']) {
      await sql`select set_config('timezone', ${zone}, false)`.execute(app.database.handle.db)
      const { json } = await usage(user.token, 'from=2026-03-31&to=2026-04-01')
      expect(json.data).toEqual([
        { day: '2026-04-01', ...one },
        { day: '2026-03-31', ...times(2) },
      ])
      expect(json.total).toEqual(times(3))
    }
  })

  test('by key names keys, and null for calls with a token; the dearest first', async () => {
    const user = await app.register()
    const [a, b] = [await app.createKey(user), await app.createKey(user)]
    const at = '2026-05-05T12:00:00Z'
    await book(user, at)
    for (let n = 0; n < 3; n++) await book(user, at, { key_id: parseId('key', a.id)! })
    for (let n = 0; n < 2; n++) await book(user, at, { key_id: parseId('key', b.id)! })
    const { json } = await usage(user.token, 'from=2026-05-01&to=2026-05-31&group_by=key')
    expect(json.data).toEqual([
      { key_id: a.id, ...times(3) },
      { key_id: b.id, ...times(2) },
      { key_id: null, ...one },
    ])
    expect(json.total).toEqual(times(6))
  })

  test('by model sums every day of the range', async () => {
    const user = await app.register()
    await book(user, '2026-05-01T00:00:00Z')
    await book(user, '2026-05-31T23:59:59Z')
    await book(user, '2026-05-09T00:00:00Z', { model: 'gemini-3-pro-image', cost_micros: 240_000 })
    const { json } = await usage(user.token, 'from=2026-05-01&to=2026-05-31&group_by=model')
    expect(json.data).toEqual([
      { model: 'gemini-3-pro-image', ...one, cost_usd: 0.24 },
      { model: 'gemini-nano-banana-2.1', ...times(2) },
    ])
  })

  test('defaults to the month up to today, and to the first of the month of `to`', async () => {
    const user = await app.register()
    await book(user, '2026-02-01T00:00:00Z')
    await book(user, '2026-01-31T23:59:59Z')
    expect((await usage(user.token, 'to=2026-02-28')).json.total).toEqual(one)
    await book(user, new Date().toISOString())
    expect((await usage(user.token)).json.total).toEqual(one)
  })

  test('tells the modes apart: a token says which, a key has its own', async () => {
    const user = await app.register()
    const live = await app.createKey(user, { mode: 'live' })
    const trial = await app.createKey(user, { mode: 'test' })
    const at = '2026-06-06T00:00:00Z'
    await book(user, at)
    await book(user, at, { mode: 'test', cost_micros: 0 })
    await book(user, at, { mode: 'test', cost_micros: 0 })
    const range = 'from=2026-06-01&to=2026-06-30'
    const requests = async (token: string, query = range) =>
      (await usage(token, query)).json.total.requests
    expect(await requests(user.token)).toBe(1)
    expect(await requests(user.token, `${range}&mode=test`)).toBe(2)
    expect(await requests(live.key)).toBe(1)
    expect(await requests(trial.key)).toBe(2)
    expect(await requests(live.key, `${range}&mode=test`)).toBe(1)
    expect(await requests(trial.key, `${range}&mode=live`)).toBe(2)
  })

  test('a range may have 366 days and no more', async () => {
    const { token } = await app.register()
    expect((await usage(token, 'from=2024-01-01&to=2024-12-31')).status).toBe(200)
    expect((await usage(token, 'from=2025-01-01&to=2026-01-01')).status).toBe(200)
    const { status, json } = await usage(token, 'from=2025-01-01&to=2026-01-02')
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param: 'from' })
    expect(json.error.message).toContain('366')
  })

  test.each([
    ['from=2026-02-02&to=2026-02-01', 'from'],
    ['from=2999-01-01', 'from'],
    ['from=2026-02-30', 'from'],
    ['from=yesterday', 'from'],
    ['to=2026-2-1', 'to'],
    ['to=2026-02-01T00:00:00Z', 'to'],
    ['from=0000-01-01&to=0000-01-02', 'from'],
    ['to=0000-01-02', 'to'],
    ['from=-2026-01-01', 'from'],
    ['group_by=user', 'group_by'],
    ['group_by=model;drop table usage', 'group_by'],
    ['mode=prod', 'mode'],
    ['user_id=user_x', 'user_id'],
    ['from=2026-01-01&from=2026-01-02', 'from'],
  ])('refuses ?%s', async (query, param) => {
    const { token } = await app.register()
    const { status, json } = await usage(token, query)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })

  test('reaches to the last day there is', async () => {
    const { token } = await app.register()
    expect((await usage(token, 'from=9999-01-01&to=9999-12-31')).status).toBe(200)
    expect((await usage(token, 'from=0001-01-01&to=0001-12-31')).status).toBe(200)
  })
})

describe('security', () => {
  test('AUTHZ-1: an account sees its own rows only', async () => {
    const [user, stranger] = [await app.register(), await app.register()]
    await book(stranger, '2026-07-07T00:00:00Z')
    for (const group of ['day', 'key', 'model']) {
      const { json } = await usage(user.token, `from=2026-07-01&to=2026-07-31&group_by=${group}`)
      expect(json).toEqual({ data: [], total: times(0) })
    }
  })

  test('a key needs the scope, nobody is let in without a credential', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user, { scopes: ['generate', 'read'] })
    const { status, json } = await usage(key)
    expect(status).toBe(403)
    expect(json.error.code).toBe('insufficient_scope')
    expect(json.error.message).toContain('usage')
    expect((await app.request('GET', '/v1/usage')).status).toBe(401)
  })
})

test('the month’s spend of account and keys leaves other months and accounts out', async () => {
  const [user, stranger] = [await app.register(), await app.register()]
  const { id } = await app.createKey(user)
  const key_id = parseId('key', id)!
  const { rows } = await sql<{ now: Date }>`select now() as now`.execute(app.database.handle.db)
  const now = rows[0]!.now
  const lastMonth = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)).toISOString()
  await book(user, now.toISOString(), { key_id, cost_micros: 100_001 })
  await book(user, now.toISOString(), { key_id, cost_micros: 200_002 })
  await book(user, now.toISOString(), { cost_micros: 400_004 })
  await book(user, lastMonth, { key_id, cost_micros: 800_008 })
  await book(stranger, now.toISOString(), { cost_micros: 1_600_016 })
  const read = async (path: string) => (await app.request('GET', path, { token: user.token })).json
  expect((await read('/v1/auth/me')).spent_this_month_usd).toBe(0.700007)
  expect((await read(`/v1/keys/${id}`)).spent_this_month_usd).toBe(0.300003)
  expect((await read('/v1/keys')).data[0].spent_this_month_usd).toBe(0.300003)
})
