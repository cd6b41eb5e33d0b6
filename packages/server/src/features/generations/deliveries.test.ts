import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseEvents } from '../../../test/events.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { noise } from '../../../test/pictures.ts'
import { createScriptedProvider, type ScriptedProvider } from '../../../test/scripted-provider.ts'

import { createWorld, SMALL } from '../../../test/world.ts'
import { findViolations } from '../../check/check.ts'
import { AppError } from '../../kernel/app-error.ts'
import { parseId } from '../../kernel/ids.ts'
import { ProviderError } from '../../ports/image-provider.ts'
import { abandon, storedOf } from './ending.ts'
import { listAbandoned } from './runs.repo.ts'
import { recoverAbandoned } from './recovering.ts'

const smallPng = () => noise(64, 64).png().toBuffer()
const EVENTS = 'text/event-stream'

let app: TestApp
let provider: ScriptedProvider
let user: Account
let key: string
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({
    providers: { live: provider },
    env: { QUEUE_MAX: '12', QUEUE_MAX_PER_ACCOUNT: '4', WORKERS: '2', LEASE_SECONDS: '3600' },
  })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live', monthly_limit_usd: 100 })).key
})
afterAll(() => app[Symbol.asyncDispose]())
afterEach(async () => {
  const { db } = app.service.deps
  const violations = await findViolations(db, app.service.deps.objectStore)
  if (violations.length > 0) throw new Error(JSON.stringify(violations))
})

const db = () => app.database.handle.db
const generate = (headers: Record<string, string> = {}, input: object = {}, token = key) =>
  app.request('POST', '/v1/generate', {
    token,
    headers,
    body: { prompt: 'a banana', ...SMALL, ...input },
  })
const get = (id: string, headers: Record<string, string> = {}) =>
  app.request('GET', `/v1/generations/${id}`, { token: key, headers })
const cancel = (id: string) => app.request('POST', `/v1/generations/${id}/cancel`, { token: key })
const statusOf = async (id: string) => (await get(id)).json.status
const untilStatus = (id: string, status: string) =>
  expect.poll(() => statusOf(id), { timeout: 10_000 }).toBe(status)
const rowOf = (id: string) =>
  db()
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', parseId('gen', id)!)
    .executeTakeFirstOrThrow()
const ledgerOf = async (id: string) =>
  (
    await db()
      .selectFrom('usage')
      .select('kind')
      .where('generation_id', '=', parseId('gen', id)!)
      .orderBy('id')
      .execute()
  ).map(({ kind }) => kind)
const untilIdle = () =>
  expect
    .poll(
      () =>
        db()
          .selectFrom('generations')
          .select('id')
          .where('status', 'in', ['queued', 'running'])
          .execute(),
      { timeout: 10_000 },
    )
    .toEqual([])
const gateOf = () => {
  const gate = Promise.withResolvers<void>()
  provider.play(gate.promise)
  return gate
}

describe('Prefer: respond-async', () => {
  test('is answered 202 at once, with where to look and when', async () => {
    const gate = gateOf()
    const accepted = await generate({ prefer: 'respond-async' })
    expect(accepted.status).toBe(202)
    expect(accepted.json).toMatchObject({ status: 'queued', images: [], url: null, error: null })
    expect(accepted.headers).toMatchObject({
      location: `/v1/generations/${accepted.json.id}`,
      'x-generation-id': accepted.json.id,
      'retry-after': '2',
      'cache-control': 'no-store',
      'preference-applied': 'respond-async',
    })
    await untilStatus(accepted.json.id, 'running')
    gate.resolve()
    await untilStatus(accepted.json.id, 'succeeded')
    const { json } = await get(accepted.json.id)
    expect(json.images).toHaveLength(1)
    expect(await ledgerOf(json.id)).toEqual(['reserve', 'settle'])
  })

  test('keeps the images of the request for the worker, and lets go of them at the end', async () => {
    const calls = provider.seen.length
    const images = [{ data: (await smallPng()).toString('base64') }]
    const gate = gateOf()
    const { json } = await generate({ prefer: 'respond-async' }, { images })
    const kept = () => db().selectFrom('input_images').selectAll().execute()
    expect(await kept()).toHaveLength(1)
    gate.resolve()
    await untilStatus(json.id, 'succeeded')
    const [sent] = provider.seen.slice(calls)
    expect(sent?.images).toHaveLength(1)
    expect(sent?.images?.[0]?.bytes.length).toBeGreaterThan(50)
    expect(await kept()).toEqual([])
  })

  test('tells how it failed where it is asked, and charges nothing', async () => {
    provider.play(new ProviderError('content_blocked', 'Blocked: SAFETY.'))
    const { json } = await generate({ prefer: 'respond-async' })
    await untilStatus(json.id, 'failed')
    expect((await get(json.id)).json).toMatchObject({
      error: { type: 'content_error', code: 'content_blocked', message: 'Blocked: SAFETY.' },
      usage: { cost_usd: 0 },
    })
    expect(await ledgerOf(json.id)).toEqual(['reserve', 'release'])
  })

  test('is refused before anything is written where money or rights are missing', async () => {
    const poor = (await app.createKey(user, { mode: 'live', monthly_limit_usd: 0.000001 })).key
    const refused = await generate({ prefer: 'respond-async' }, {}, poor)
    expect(refused.status).toBe(402)
    expect(refused.headers['x-generation-id']).toBeUndefined()
    const reader = (await app.createKey(user, { mode: 'live', scopes: ['read'] })).key
    expect((await generate({ prefer: 'respond-async' }, {}, reader)).status).toBe(403)
  })

  test('with the same Idempotency-Key is 202 of the same generation until it ends, then 200', async () => {
    const headers = { prefer: 'respond-async', 'idempotency-key': 'async-twice' }
    const gate = gateOf()
    const first = await generate(headers)
    const again = await generate(headers)
    expect([first.status, again.status]).toEqual([202, 202])
    expect(again.json.id).toBe(first.json.id)
    expect(again.headers['idempotent-replayed']).toBe('true')
    gate.resolve()
    await untilStatus(first.json.id, 'succeeded')
    const last = await generate(headers)
    expect([last.status, last.json.id]).toEqual([200, first.json.id])
    // A caller that says nothing of waiting is served from the same record.
    const plain = await generate({ 'idempotency-key': 'async-twice' })
    expect([plain.status, plain.json.id]).toEqual([200, first.json.id])
  })

  test('means the same on /trpc, where it is an ordinary result', async () => {
    const { json, status, headers } = await app.request('POST', '/trpc/generate', {
      token: key,
      headers: { prefer: 'respond-async', accept: EVENTS },
      body: { prompt: 'a banana', ...SMALL },
    })
    expect(status).toBe(200)
    expect(json.result.data.status).toBe('queued')
    expect(headers['x-generation-id']).toBe(json.result.data.id)
    await untilStatus(json.result.data.id, 'succeeded')
  })
})

describe('Prefer: wait', () => {
  test.each([
    ['wait=20', 'wait=20'],
    ['respond-async, wait=20', 'wait=20'],
    ['wait="20"; foo=1', 'wait=20'],
  ])('%s answers the result where it comes in time', async (prefer) => {
    const made = await generate({ prefer })
    expect([made.status, made.json.status]).toEqual([200, 'succeeded'])
  })

  test('answers 202 after its time, and what runs goes on', async () => {
    const gate = gateOf()
    const started = performance.now()
    const accepted = await generate({ prefer: 'wait=1' })
    expect(performance.now() - started).toBeGreaterThan(900)
    expect([accepted.status, accepted.json.status]).toEqual([202, 'running'])
    expect(accepted.headers['preference-applied']).toBe('wait=1')
    gate.resolve()
    await untilStatus(accepted.json.id, 'succeeded')
    expect(await ledgerOf(accepted.json.id)).toEqual(['reserve', 'settle'])
  })

  test('of no seconds is respond-async, and one that is no number is none', async () => {
    expect((await generate({ prefer: 'wait=0' })).status).toBe(202)
    for (const prefer of ['wait=-1', 'wait=soon', 'wait', 'wait=1.5', 'handling=strict', '']) {
      expect((await generate({ prefer })).status).toBe(200)
    }
  })
})

test('a request that takes longer than SYNC_TIMEOUT is 202, and its images are kept for whoever goes on', async () => {
  const slow = await createScriptedProvider()
  await using quick = await createTestApp({
    providers: { live: slow },
    env: { SYNC_TIMEOUT: '1', STORAGE: 'disk' },
  })
  const account = await quick.register()
  const token = (await quick.createKey(account, { mode: 'live' })).key
  const gate = Promise.withResolvers<void>()
  slow.play(gate.promise)
  const images = [{ data: (await smallPng()).toString('base64') }]
  const body = { prompt: 'a banana', ...SMALL, images }
  const accepted = await quick.request('POST', '/v1/generate', { token, body })
  expect([accepted.status, accepted.json.status]).toEqual([202, 'running'])
  expect(accepted.headers['preference-applied']).toBeUndefined()
  const { db: database } = quick.service.deps
  const kept = () => database.selectFrom('input_images').selectAll().execute()
  expect(await kept()).toHaveLength(1)
  expect(await database.selectFrom('generations').select('detached').execute()).toEqual([
    { detached: true },
  ])
  gate.resolve()
  await expect.poll(kept).toEqual([])
})

describe('the queue', () => {
  /** Keeps both workers busy until the gates open. */
  const occupy = async () => {
    const gates = [gateOf(), gateOf()]
    const ids = await Promise.all(
      gates.map(async () => (await generate({ prefer: 'respond-async' })).json.id as string),
    )
    for (const id of ids) await untilStatus(id, 'running')
    return { ids, open: () => gates.forEach((gate) => gate.resolve()) }
  }

  test('is bounded for an account, others go on; and what was refused left nothing', async () => {
    const busy = await occupy()
    const waiting = await Promise.all(
      Array.from({ length: 4 }, () => generate({ prefer: 'respond-async' })),
    )
    expect(waiting.map(({ status }) => status)).toEqual([202, 202, 202, 202])
    const refused = await generate({ prefer: 'respond-async' })
    expect(refused.status).toBe(429)
    expect(refused.json.error).toMatchObject({ code: 'rate_limited', param: null })
    expect(refused.json.error.message).toContain('4 generations waiting')
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    const other = await app.register()
    const accepted = await generate({ prefer: 'respond-async' }, {}, other.token)
    expect(accepted.status).toBe(202)
    busy.open()
    for (const { json } of waiting) await untilStatus(json.id, 'succeeded')
    await untilIdle()
    // An account that was refused is told the same for a moment, unasked.
    await sleep(300)
  })

  test('serves accounts in turns, however many one of them sends', async () => {
    const busy = await occupy()
    const order = provider.seen.length
    for (let n = 0; n < 4; n++) await generate({ prefer: 'respond-async' }, { prompt: `mine ${n}` })
    const other = await app.register()
    for (let n = 0; n < 2; n++)
      await generate({ prefer: 'respond-async' }, { prompt: `theirs ${n}` }, other.token)
    busy.open()
    await expect.poll(() => provider.seen.length, { timeout: 10_000 }).toBe(order + 6)
    const prompts = provider.seen.slice(order).map(({ prompt }) => prompt)
    // Two run at once, so neighbours may change places.
    expect(prompts.indexOf('theirs 0')).toBeLessThan(3)
    expect(prompts.indexOf('theirs 1')).toBeLessThan(5)
    await untilIdle()
  })

  test('holds back a key that has as many running as it may', async () => {
    const narrow = (await app.createKey(user, { mode: 'live', max_concurrency: 1 })).key
    const calls = provider.seen.length
    const gate = gateOf()
    const [first, second] = [
      await generate({ prefer: 'respond-async' }, {}, narrow),
      await generate({ prefer: 'respond-async' }, {}, narrow),
    ]
    await untilStatus(first.json.id, 'running')
    await sleep(700)
    expect(provider.seen.length).toBe(calls + 1)
    expect(await statusOf(second.json.id)).toBe('queued')
    gate.resolve()
    await untilStatus(second.json.id, 'succeeded')
  })
})

describe('cancel', () => {
  test('of one that runs ends its call, charges nothing and answers who waits', async () => {
    gateOf()
    const calls = provider.seen.length
    const waiting = generate({ prefer: 'wait=20' })
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    const { id } = await db()
      .selectFrom('generations')
      .select('id')
      .where('status', '=', 'running')
      .executeTakeFirstOrThrow()
    const list = await app.request('GET', '/v1/generations?status=running', { token: key })
    const [{ id: name }] = list.json.data
    const canceled = await cancel(name)
    expect([canceled.status, canceled.json.status]).toEqual([200, 'canceled'])
    const answer = await waiting
    expect([answer.status, answer.json.status, answer.json.id]).toEqual([200, 'canceled', name])
    expect(provider.seen.at(-1)?.signal.aborted).toBe(true)
    expect(await ledgerOf(name)).toEqual(['reserve', 'release'])
    const row = await rowOf(name)
    expect(row.id).toBe(id)
    // What the provider may bill us for a call that was ended.
    expect(row.upstream_cost_micros).toBe(row.reserved_micros)
  })

  test('of one that waits leaves nothing to do for a worker', async () => {
    const gates = [gateOf(), gateOf()]
    for (let n = 0; n < 2; n++) await generate({ prefer: 'respond-async' })
    const calls = () => provider.seen.length
    const waiting = await generate({ prefer: 'respond-async' })
    const before = calls()
    expect((await cancel(waiting.json.id)).json.status).toBe('canceled')
    gates.forEach((gate) => gate.resolve())
    await sleep(700)
    expect(await statusOf(waiting.json.id)).toBe('canceled')
    expect(calls() - before).toBeLessThanOrEqual(2)
    expect((await rowOf(waiting.json.id)).upstream_cost_micros).toBe(0)
  })

  test('again is answered again; one that has ended otherwise is not_cancelable', async () => {
    gateOf()
    const { json } = await generate({ prefer: 'wait=1' })
    expect((await cancel(json.id)).status).toBe(200)
    expect((await cancel(json.id)).status).toBe(200)
    expect(await ledgerOf(json.id)).toEqual(['reserve', 'release'])
    const done = await generate()
    const refused = await cancel(done.json.id)
    expect([refused.status, refused.json.error.code]).toEqual([409, 'not_cancelable'])
  })

  test('security: of somebody else’s is not found, and changes nothing', async () => {
    const gate = gateOf()
    const { json } = await generate({ prefer: 'wait=1' })
    const stranger = await app.register()
    const path = `/v1/generations/${json.id}/cancel`
    expect((await app.request('POST', path, { token: stranger.token })).status).toBe(404)
    const free = (await app.createKey(user, { mode: 'test' })).key
    expect((await app.request('POST', path, { token: free })).status).toBe(404)
    expect(await statusOf(json.id)).toBe('running')
    gate.resolve()
    await untilStatus(json.id, 'succeeded')
  })

  test('is replayed with its key of idempotency', async () => {
    gateOf()
    const headers = { 'idempotency-key': 'canceled-once', prefer: 'wait=1' }
    const { json } = await generate(headers)
    await cancel(json.id)
    const replayed = await generate(headers)
    expect([replayed.status, replayed.json.status, replayed.json.id]).toEqual([
      200,
      'canceled',
      json.id,
    ])
  })

  test('and the end at the same time: one of them wins, and the ledger knows which', async () => {
    for (let round = 0; round < 8; round++) {
      const gate = gateOf()
      const { json } = await generate({ prefer: 'respond-async' })
      await untilStatus(json.id, 'running')
      gate.resolve()
      const { status } = await cancel(json.id)
      await expect.poll(async () => (await ledgerOf(json.id)).length).toBe(2)
      const end = status === 200 ? 'release' : 'settle'
      expect(await ledgerOf(json.id)).toEqual(['reserve', end])
    }
  })
})

describe('events', () => {
  test('come on the same route, numbered, with the result at the end', async () => {
    const stream = await generate({ accept: EVENTS }, { n: 2 })
    expect(stream.status).toBe(200)
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
    })
    const events = parseEvents(stream.text)
    expect(events.map(({ type }) => type)).toEqual([
      'generation.running',
      'generation.image',
      'generation.image',
      'generation.succeeded',
    ])
    expect(events.map(({ id }) => id)).toEqual(['1', '2', '3', '4'])
    for (const { type, event } of events) expect(event.type).toBe(type)
    const last = events.at(-1)!.event.data
    expect(last).toMatchObject({ id: stream.headers['x-generation-id'], status: 'succeeded' })
    const first = events[0]!.event.data
    expect(first).toMatchObject({ status: 'running', images: [], completed_at: null })
  })

  test('of an attempt that a repeat has begun again are not told: its end is not the end', async () => {
    provider.play(new ProviderError('upstream_unavailable', 'Later.'))
    const idempotency = { 'idempotency-key': 'begun-again' }
    expect((await generate(idempotency)).status).toBe(503)
    const stream = await generate({ ...idempotency, accept: EVENTS })
    expect(parseEvents(stream.text).map(({ type }) => type)).toEqual([
      'generation.running',
      'generation.image',
      'generation.succeeded',
    ])
  })

  test('of a failure end with it; a request that is refused has none', async () => {
    provider.play(new ProviderError('no_image', 'No picture.'))
    const events = parseEvents((await generate({ accept: EVENTS })).text)
    expect(events.map(({ type }) => type)).toEqual(['generation.running', 'generation.failed'])
    expect(events.at(-1)!.event.data).toMatchObject({ error: { code: 'no_image' } })
    const refused = await generate({ accept: EVENTS }, { model: 'nobody' })
    expect(refused.status).toBe(404)
    expect(refused.json.error.code).toBe('model_not_found')
  })

  test('are followed from elsewhere, and go on after the last that was heard', async () => {
    const gate = gateOf()
    const { json } = await generate({ prefer: 'respond-async' })
    const following = get(json.id, { accept: EVENTS })
    const later = get(json.id, { accept: EVENTS, 'last-event-id': '1' })
    await untilStatus(json.id, 'running')
    gate.resolve()
    const types = (text: string) => parseEvents(text).map(({ id, type }) => `${id} ${type}`)
    const all = [
      '1 generation.queued',
      '2 generation.running',
      '3 generation.image',
      '4 generation.succeeded',
    ]
    expect(types((await following).text)).toEqual(all)
    expect(types((await later).text)).toEqual(all.slice(1))
    // Those that are kept are told again as often as anybody asks.
    const ended = await get(json.id, { accept: EVENTS, 'last-event-id': '3' })
    expect(types(ended.text)).toEqual(all.slice(3))
  })

  test('that are no longer kept leave the end to be told', async () => {
    const { json } = await generate()
    await sql`delete from generation_events where generation_id = ${parseId('gen', json.id)}`.execute(
      db(),
    )
    const events = parseEvents((await get(json.id, { accept: EVENTS })).text)
    expect(events.map(({ type }) => type)).toEqual(['generation.succeeded'])
  })

  test('security: of somebody else’s generation are not found', async () => {
    const { json } = await generate()
    const stranger = await app.register()
    const path = `/v1/generations/${json.id}`
    const headers = { accept: EVENTS }
    expect((await app.request('GET', path, { token: stranger.token, headers })).status).toBe(404)
  })

  test('are not sent to who takes anything, and a Last-Event-ID that is none is refused', async () => {
    const { json } = await generate()
    expect((await get(json.id, { accept: '*/*' })).json.id).toBe(json.id)
    const refused = await get(json.id, { accept: EVENTS, 'last-event-id': 'x' })
    expect([refused.status, refused.json.error.param]).toEqual([400, 'Last-Event-ID'])
  })

  test('of a canceled one end with that', async () => {
    gateOf()
    const { json } = await generate({ prefer: 'wait=1' })
    const following = get(json.id, { accept: EVENTS })
    await cancel(json.id)
    expect(parseEvents((await following).text).map(({ type }) => type)).toEqual([
      'generation.running',
      'generation.canceled',
    ])
  })
})

describe('a process that died', () => {
  const strand = (id: string) =>
    sql`update generations set lease_expires_at = now() - interval '1 second', lease_owner = gen_random_uuid()
      where id = ${parseId('gen', id)}`.execute(db())

  test('has its accepted generations finished by another, with one charge', async () => {
    const gate = gateOf()
    const { json } = await generate({ prefer: 'respond-async' })
    await untilStatus(json.id, 'running')
    await strand(json.id)
    await recoverAbandoned(app.service.deps, { all: false })
    await untilStatus(json.id, 'succeeded')
    gate.resolve()
    await sleep(100)
    expect(await ledgerOf(json.id)).toEqual(['reserve', 'settle'])
    const row = await rowOf(json.id)
    expect(row.runs).toBe(2)
    expect(row.upstream_cost_micros).toBe(row.reserved_micros + row.cost_micros)
    expect((await get(json.id)).json.images).toHaveLength(1)
  })

  test('fails what nobody was told to come back for', async () => {
    const gate = gateOf()
    const calls = provider.seen.length
    const lost = generate()
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    const list = await app.request('GET', '/v1/generations?status=running', { token: key })
    await strand(list.json.data[0].id)
    expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
    gate.resolve()
    expect((await lost).status).toBe(503)
    expect(await statusOf(list.json.data[0].id)).toBe('failed')
  })

  test.each([
    ['respond-async', { prefer: 'respond-async' }],
    ['wait', { prefer: 'wait=1' }],
    ['events', { accept: EVENTS }],
  ])(
    'has what a repeat was told to come back for finished by another: %s',
    async (name, headers) => {
      const gate = gateOf()
      const calls = provider.seen.length
      const images = [{ data: (await smallPng()).toString('base64') }]
      const idempotency = { 'idempotency-key': `repeated-${name}` }
      const lost = generate(idempotency, { images })
      await expect.poll(() => provider.seen.length).toBe(calls + 1)
      const repeat = generate({ ...idempotency, ...headers }, { images })
      const list = await app.request('GET', '/v1/generations?status=running', { token: key })
      const { id } = list.json.data[0]
      await expect.poll(async () => (await rowOf(id)).detached, { timeout: 5000 }).toBe(true)
      if (name !== 'events') expect((await repeat).status).toBe(202)
      await strand(id)
      expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
      await untilStatus(id, 'succeeded')
      gate.resolve()
      await Promise.all([lost, repeat])
      expect(provider.seen.at(-1)?.images).toHaveLength(1)
      expect(await ledgerOf(id)).toEqual(['reserve', 'settle'])
    },
  )

  test('has none failed for which a repeat was told to come back since it was found', async () => {
    const gate = gateOf()
    const calls = provider.seen.length
    const idempotency = { 'idempotency-key': 'found-meanwhile' }
    const lost = generate(idempotency)
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    const list = await app.request('GET', '/v1/generations?status=running', { token: key })
    const { id } = list.json.data[0]
    await strand(id)
    const [found] = await listAbandoned(db(), { all: false, beside: [] })
    expect((await generate({ ...idempotency, prefer: 'respond-async' })).status).toBe(202)
    const { deps } = app.service
    const error = storedOf(new AppError('unavailable'))
    expect(await abandon(deps, found!, error, { all: false })).toBe(false)
    await recoverAbandoned(deps, { all: false })
    await untilStatus(id, 'succeeded')
    gate.resolve()
    await lost
  })

  test('again and again is the end of its generation', async () => {
    const gate = gateOf()
    const { json } = await generate({ prefer: 'respond-async' })
    await untilStatus(json.id, 'running')
    await sql`update generations set runs = 5 where id = ${parseId('gen', json.id)}`.execute(db())
    await strand(json.id)
    await recoverAbandoned(app.service.deps, { all: false })
    expect((await get(json.id)).json).toMatchObject({
      status: 'failed',
      error: { code: 'unavailable' },
    })
    gate.resolve()
  })
})
