import { MODELS } from '@nanobanana/shared'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Account, TestApp } from '../../../test/harness.ts'
import {
  createScriptedProvider,
  SCRIPTED_USAGE,
  type ScriptedProvider,
} from '../../../test/scripted-provider.ts'
import { createWorld, SMALL } from '../../../test/world.ts'
import { parseId } from '../../kernel/ids.ts'
import { usdOf } from '../../kernel/money.ts'
import { ProviderError } from '../../ports/image-provider.ts'
import * as auth from '../auth/auth.service.ts'
import { priceMicros } from './price.ts'

const { prices, imageTokens } = MODELS.find(({ aliases }) => aliases.includes(SMALL.model))!
const PROMPT = 'a banana'
/** By hand: the picture, 1000 tokens of text, and the prompt at four characters a token. */
const RESERVED = priceMicros(
  { inputTokens: 2, textOutputTokens: 1000, imageOutputTokens: imageTokens['512']! },
  prices,
)
const COST = priceMicros(SCRIPTED_USAGE, prices)

let app: TestApp
let provider: ScriptedProvider
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({ providers: { live: provider } })
})
afterAll(() => app[Symbol.asyncDispose]())

const db = () => app.database.handle.db
const generate = (token: string, body: object = {}, on = app) =>
  on.request('POST', '/v1/generate', { token, body: { prompt: PROMPT, ...SMALL, ...body } })
const liveKey = (user: Account, limitMicros: number | null = null) =>
  app.createKey(user, {
    mode: 'live',
    monthly_limit_usd: limitMicros === null ? null : usdOf(limitMicros),
  })
const limit = (user: Account, micros: number | null) =>
  auth.limitUser({ db: db() }, user.email, micros)
const spent = async (user: Account, path = '/v1/auth/me') =>
  Math.round(
    (await app.request('GET', path, { token: user.token })).json.spent_this_month_usd * 1e6,
  )

/** Starts a generation and answers how to let it end. */
async function hold(token: string, act?: Error) {
  const gate = Promise.withResolvers<void>()
  provider.play(gate.promise.then(() => act && Promise.reject(act)))
  const before = provider.seen.length
  const answer = generate(token)
  await expect.poll(() => provider.seen.length).toBe(before + 1)
  return {
    async end() {
      gate.resolve()
      return answer
    },
  }
}

describe('402 budget_exceeded', () => {
  test.each(['account', 'API key'] as const)(
    'of the %s comes before the provider is called and leaves nothing behind',
    async (owner) => {
      const user = await app.register()
      const { id, key } = await liveKey(user, owner === 'account' ? null : RESERVED - 1)
      if (owner === 'account') await limit(user, RESERVED - 1)
      const calls = provider.seen.length
      const refused = await generate(key)
      expect(refused.status).toBe(402)
      expect(refused.json.error).toMatchObject({
        type: 'budget_error',
        code: 'budget_exceeded',
        message: `The monthly limit of the ${owner} does not allow this.`,
        param: null,
      })
      expect(refused.headers['x-should-retry']).toBe('false')
      expect(refused.headers['x-generation-id']).toBeUndefined()
      expect(provider.seen).toHaveLength(calls)
      expect([await spent(user), await spent(user, `/v1/keys/${id}`)]).toEqual([0, 0])
      for (const table of ['generations', 'usage'] as const) {
        const rows = await db()
          .selectFrom(table)
          .select('id')
          .where('user_id', '=', parseId('user', user.id)!)
          .execute()
        expect(rows, table).toEqual([])
      }
    },
  )

  test('spares what fits exactly', async () => {
    const user = await app.register()
    await limit(user, RESERVED)
    const { key } = await liveKey(user, RESERVED)
    expect((await generate(key)).status).toBe(200)
  })

  test('counts every image of a request, and those that come with it', async () => {
    const user = await app.register()
    await limit(user, 4 * RESERVED - 1)
    expect((await generate(user.token, { n: 4 })).status).toBe(402)
    await limit(user, 4 * RESERVED)
    const parent = await generate(user.token, { n: 4 })
    expect(parent.status).toBe(200)
    await limit(user, 4 * COST + RESERVED)
    const images = [{ generation_id: parent.json.id }]
    expect((await generate(user.token, { images })).status).toBe(402)
  })

  test('is that of the key alone for the key, and of the account for all', async () => {
    const user = await app.register()
    const [poor, rich] = [await liveKey(user, COST + RESERVED - 1), await liveKey(user)]
    expect((await generate(poor.key)).status).toBe(200)
    expect((await generate(poor.key)).status).toBe(402)
    expect((await generate(rich.key)).status).toBe(200)
    expect((await generate(user.token)).status).toBe(200)
    await limit(user, 3 * COST + RESERVED - 1)
    for (const token of [poor.key, rich.key, user.token])
      expect((await generate(token)).status).toBe(402)
    const stranger = await app.register()
    expect((await generate(stranger.token)).status).toBe(200)
  })

  test('never meets a test key, whose pictures are free', async () => {
    const user = await app.register()
    await limit(user, 0)
    const { id, key } = await app.createKey(user, { monthly_limit_usd: 0 })
    expect((await generate(key)).status).toBe(200)
    expect((await generate(user.token, { mode: 'test' })).status).toBe(200)
    expect([await spent(user), await spent(user, `/v1/keys/${id}`)]).toEqual([0, 0])
  })

  test('comes by the server’s default where the account has no limit of its own', async () => {
    await using limited = await createWorld({
      database: app.database.handle,
      providers: { live: provider },
      env: { DEFAULT_MONTHLY_LIMIT_USD: String(usdOf(RESERVED)) },
    })
    const user = await limited.register()
    expect((await generate(user.token, {}, limited)).status).toBe(200)
    expect((await generate(user.token, {}, limited)).status).toBe(402)
    await limit(user, COST + RESERVED)
    expect((await generate(user.token, {}, limited)).status).toBe(200)
    await limit(user, null)
    expect((await generate(user.token, {}, limited)).status).toBe(402)
  })
})

test('a change of a key’s limit holds for the very next request', async () => {
  const user = await app.register()
  const { id, key } = await liveKey(user)
  const patch = (monthly_limit_usd: number | null) =>
    app.request('PATCH', `/v1/keys/${id}`, { token: user.token, body: { monthly_limit_usd } })
  const statuses: number[] = []
  for (const usd of [0, usdOf(RESERVED), usdOf(RESERVED), null, 0]) {
    expect((await patch(usd)).status).toBe(200)
    statuses.push((await generate(key)).status)
  }
  expect(statuses).toEqual([402, 200, 402, 200, 402])
})

describe('spent_this_month_usd', () => {
  test('of account and key is the reservation while it runs, then the price', async () => {
    const user = await app.register()
    const { id, key } = await liveKey(user)
    const both = async () => [await spent(user), await spent(user, `/v1/keys/${id}`)]
    const running = await hold(key)
    expect(await both()).toEqual([RESERVED, RESERVED])
    const { json } = await running.end()
    expect(json.usage.cost_usd).toBe(usdOf(COST))
    expect(await both()).toEqual([COST, COST])
    await generate(user.token)
    expect(await both()).toEqual([2 * COST, COST])
  })

  test('gets back all of a generation that failed', async () => {
    const user = await app.register()
    await limit(user, RESERVED)
    const { key } = await liveKey(user, RESERVED)
    const running = await hold(key, new ProviderError('content_blocked', 'No.'))
    expect((await generate(key)).status).toBe(402)
    expect((await running.end()).status).toBe(422)
    expect(await spent(user)).toBe(0)
    expect((await generate(key)).status).toBe(200)
  })
})

test('a price above what was set aside is charged in full and told to the operator', async () => {
  const user = await app.register()
  await limit(user, 2 * RESERVED)
  const excess = { inputTokens: 9000, textOutputTokens: 40_000, imageOutputTokens: 747 }
  const bytes = await provider.generate({} as never).then((made) => made.bytes)
  const dear = { generate: async () => ({ bytes, text: null, usage: excess }) }
  await using other = await createWorld({
    database: app.database.handle,
    providers: { live: dear },
  })
  const { json } = await generate(user.token, {}, other)
  const cost = priceMicros(excess, prices)
  expect(json.usage.cost_usd).toBe(usdOf(cost))
  expect(await spent(user)).toBe(cost)
  expect(other.logs).toContainEqual(
    expect.objectContaining({
      msg: 'a generation cost more than was set aside for it',
      generation: parseId('gen', json.id),
      reserved_micros: RESERVED,
      cost_micros: cost,
    }),
  )
  expect((await generate(user.token)).status).toBe(402)
})

test('a generation is charged to the month of its reservation, also when it ends in the next', async () => {
  const [user, failing] = [await app.register(), await app.register()]
  const runs = [
    { owner: user, run: await hold((await liveKey(user)).key) },
    {
      owner: failing,
      run: await hold(failing.token, new ProviderError('content_blocked', 'No.')),
    },
  ]
  const { rows } = await sql<{ day: string }>`
    select to_char(date_trunc('month', now() at time zone 'UTC') - interval '1 day', 'YYYY-MM-DD') as day`.execute(
    db(),
  )
  const { day } = rows[0]!
  for (const { owner } of runs) {
    const id = parseId('user', owner.id)!
    await sql`update generations set reserved_on = ${day} where user_id = ${id}`.execute(db())
    await sql`update usage set day = ${day} where user_id = ${id}`.execute(db())
    await sql`update spending set month = ${day.slice(0, 7)} where owner_id in (
      select ${id}::uuid union select id from api_keys where user_id = ${id})`.execute(db())
  }
  for (const { run } of runs) await run.end()
  const counters = await db()
    .selectFrom('spending')
    .select(['month', 'micros'])
    .where('owner_id', 'in', [parseId('user', user.id)!, parseId('user', failing.id)!])
    .orderBy('micros')
    .execute()
  expect(counters).toEqual([
    { month: day.slice(0, 7), micros: 0 },
    { month: day.slice(0, 7), micros: COST },
  ])
  expect(await spent(user)).toBe(0)
  const query = `from=${day}&to=${day}`
  const usage = await app.request('GET', `/v1/usage?${query}`, { token: user.token })
  expect(usage.json.total).toMatchObject({ requests: 1, cost_usd: usdOf(COST) })
})
