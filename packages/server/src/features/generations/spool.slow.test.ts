import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseEvents } from '../../../test/events.ts'
import { type Fault, type FaultyStore, startFaultyStore } from '../../../test/faulty-store.ts'
import { type Account, type TestApp, type TestResponse } from '../../../test/harness.ts'
import {
  createScriptedProvider,
  SCRIPTED_USAGE,
  type ScriptedProvider,
} from '../../../test/scripted-provider.ts'
import { createWorld, SMALL } from '../../../test/world.ts'
import { findViolations } from '../../check/check.ts'
import { parseId } from '../../kernel/ids.ts'
import { ProviderError } from '../../ports/image-provider.ts'
import { sweepObjects } from '../images/sweep.ts'
import { claimNext, drain, renewSpooled } from './draining.ts'
import { countSpooled, renew } from './generations.service.ts'
import { recoverAbandoned } from './recovering.ts'
import { takeNext } from './taking.ts'

let store: FaultyStore
let provider: ScriptedProvider
beforeAll(async () => {
  store = await startFaultyStore()
  provider = await createScriptedProvider()
})
afterAll(() => store[Symbol.asyncDispose]())
beforeEach(() => heal())

const break_ = (fault: Fault = '503') => void (store.fault = () => fault)
const heal = () => break_('none')

/** Takes the first object that is put, and no other. */
function breakAllButOne(): void {
  let first: string | undefined
  store.fault = (path) => ((first ??= path) === path ? 'none' : '503')
}

const createApp = (env: Record<string, string> = {}) =>
  createWorld({ providers: { live: provider }, env: { ...store.env, LEASE_SECONDS: '3', ...env } })

const generateOn = (
  app: TestApp,
  token: string,
  headers: Record<string, string> = {},
  input: object = {},
) =>
  app.request('POST', '/v1/generate', {
    token,
    headers,
    body: { prompt: 'a banana', ...SMALL, ...input },
  })

const untilSpooled = (app: TestApp, images: number) =>
  expect
    .poll(async () => (await countSpooled(app.database.handle.db)).images, { timeout: 20_000 })
    .toBe(images)

/** Nothing contradicts the invariants; a bucket of the tests does not list what it has. */
async function expectSound(app: TestApp): Promise<void> {
  const { db, objectStore } = app.service.deps
  const listed = { list: async function* () {}, now: async () => new Date() }
  const found = await findViolations(db, { ...objectStore, ...listed })
  expect(found).toEqual([])
}

const ledgerOf = async (app: TestApp, id: string) =>
  (
    await app.database.handle.db
      .selectFrom('usage')
      .select('kind')
      .where('generation_id', '=', parseId('gen', id)!)
      .orderBy('id')
      .execute()
  ).map(({ kind }) => kind)

describe('a store that fails for a while', () => {
  let app: TestApp
  let user: Account
  let key: string
  beforeAll(async () => {
    app = await createApp({ WORKERS: '4' })
    user = await app.register()
    key = (await app.createKey(user, { mode: 'live', monthly_limit_usd: 100 })).key
  })
  afterAll(() => app[Symbol.asyncDispose]())
  afterEach(() => expectSound(app))

  const db = () => app.database.handle.db
  const generate = (headers?: Record<string, string>, input?: object) =>
    generateOn(app, key, headers, input)
  const get = async (id: string, headers: Record<string, string> = {}) =>
    app.request('GET', `/v1/generations/${id}`, { token: key, headers })
  const rowOf = (id: string) =>
    db()
      .selectFrom('generations')
      .selectAll()
      .where('id', '=', parseId('gen', id)!)
      .executeTakeFirstOrThrow()
  const runningId = async (): Promise<string> => {
    const list = await app.request('GET', '/v1/generations?status=running', { token: key })
    expect(list.json.data).toHaveLength(1)
    return list.json.data[0].id
  }

  /** Each image of an answer can be read, and is what its facts say. */
  async function expectReadable({ json }: TestResponse, count = 1): Promise<void> {
    expect(json).toMatchObject({ status: 'succeeded' })
    expect(json.images).toHaveLength(count)
    for (const { id, url, sha256, bytes } of json.images) {
      const content = await app.request('GET', `/v1/images/${id}/content`, { token: key })
      expect(content.status).toBe(200)
      expect(createHash('sha256').update(content.bytes).digest('hex')).toBe(sha256)
      expect(content.bytes).toHaveLength(bytes)
      expect((await fetch(url)).status).toBe(200)
    }
  }

  test('keeps its caller waiting, who is charged once for one call when it is back', async () => {
    const calls = provider.seen.length
    break_()
    const answer = generate()
    await untilSpooled(app, 1)
    const id = await runningId()
    expect((await get(id)).json).toMatchObject({ images: [], usage: { cost_usd: 0 } })
    expect(await ledgerOf(app, id)).toEqual(['reserve'])
    await expectSound(app)
    heal()
    const made = await answer
    expect(made.status).toBe(200)
    expect(made.json.id).toBe(id)
    await expectReadable(made)
    expect(provider.seen).toHaveLength(calls + 1)
    expect(await ledgerOf(app, id)).toEqual(['reserve', 'settle'])
    expect(await countSpooled(db())).toEqual({ images: 0, bytes: 0, oldestSeconds: 0 })
    const events = parseEvents((await get(id, { accept: 'text/event-stream' })).text)
    expect(events.map(({ type }) => type)).toEqual([
      'generation.running',
      'generation.image',
      'generation.succeeded',
    ])
  })

  test.each<Fault>(['reset', 'reset half way', 'other bytes kept', 'clock skew', 'not to be read'])(
    'answers no image that cannot be read: %s',
    async (fault) => {
      break_(fault)
      const answer = generate()
      await untilSpooled(app, 1)
      await runningId()
      heal()
      await expectReadable(await answer)
    },
  )

  test('answers 202 where the caller would not wait so long, and ends it later', async () => {
    break_()
    const accepted = await generate({ prefer: 'wait=3' })
    expect(accepted.status).toBe(202)
    expect(accepted.json.status).toBe('running')
    expect((await countSpooled(db())).images).toBe(1)
    heal()
    await expect
      .poll(async () => (await get(accepted.json.id)).json.status, { timeout: 20_000 })
      .toBe('succeeded')
    await expectReadable(await get(accepted.json.id))
  })

  test('leaves a repeat of the request nothing to buy', async () => {
    const calls = provider.seen.length
    break_()
    const headers = { 'idempotency-key': 'while-it-waits' }
    const first = generate(headers)
    await untilSpooled(app, 1)
    const repeat = await generate(headers)
    expect(repeat.json.error.code).toBe('idempotency_in_progress')
    heal()
    await expectReadable(await first)
    const later = await generate(headers)
    expect(later.headers['idempotent-replayed']).toBe('true')
    expect(provider.seen).toHaveLength(calls + 1)
  })

  test('for some of several images ends with all that were made, in their order', async () => {
    const wasted = { inputTokens: 0, textOutputTokens: 0, imageOutputTokens: 1000 }
    provider.play(new ProviderError('no_image', 'None.', { wasted }))
    breakAllButOne()
    const answer = generate({}, { n: 4 })
    await untilSpooled(app, 2)
    const spooled = await db()
      .selectFrom('spooled_images')
      .select(['id', 'object_key'])
      .orderBy('position')
      .execute()
    expect(spooled).toHaveLength(3)
    heal()
    const made = await answer
    await expectReadable(made, 3)
    expect(made.json.images.map(({ id }: { id: string }) => parseId('img', id))).toEqual(
      spooled.map(({ id }) => id),
    )
    const codes = made.json.warnings.map(({ code }: { code: string }) => code)
    expect(codes).toEqual(['size_differs', 'partial_result'])
    expect(made.json.usage).toMatchObject({
      images: 3,
      input_tokens: 3 * SCRIPTED_USAGE.inputTokens,
    })
    const row = await rowOf(made.json.id)
    expect(row.upstream_cost_micros).toBeGreaterThan(row.cost_micros)
    expect(await ledgerOf(app, made.json.id)).toEqual(['reserve', 'settle'])
  })

  test('does not keep a generation from being canceled, which is free', async () => {
    breakAllButOne()
    const waiting = generate({}, { n: 2 })
    await untilSpooled(app, 1)
    const id = await runningId()
    const keys = await db().selectFrom('spooled_images').select('object_key').execute()
    const path = `/v1/generations/${id}/cancel`
    expect((await app.request('POST', path, { token: key })).json.status).toBe('canceled')
    expect((await waiting).json.status).toBe('canceled')
    expect(await ledgerOf(app, id)).toEqual(['reserve', 'release'])
    expect((await countSpooled(db())).images).toBe(0)
    expect(await db().selectFrom('spooled_generations').selectAll().execute()).toEqual([])
    const doomed = await db().selectFrom('doomed_objects').select('object_key').execute()
    expect(doomed).toHaveLength(2)
    expect(doomed).toEqual(expect.arrayContaining(keys))
    await db().deleteFrom('doomed_objects').execute()
  })

  test('nor an account from being deleted, with what waits', async () => {
    const leaver = await app.register()
    const before = store.objects.size
    breakAllButOne()
    const waiting = generateOn(app, leaver.token, {}, { n: 2 })
    await untilSpooled(app, 1)
    expect(store.objects.size).toBe(before + 1)
    const { token, password } = leaver
    const gone = await app.request('POST', '/v1/auth/delete_account', { token, body: { password } })
    expect(gone.status).toBe(204)
    expect((await waiting).status).toBe(404)
    expect((await countSpooled(db())).images).toBe(0)
    await expect.poll(() => store.objects.size).toBe(before)
  })

  test('drains after, however many wait', { timeout: 120_000 }, async () => {
    const calls = provider.seen.length
    break_()
    const accepted = await Promise.all(
      Array.from({ length: 20 }, () => generate({ prefer: 'respond-async' })),
    )
    await untilSpooled(app, 20)
    const { bytes, oldestSeconds } = await countSpooled(db())
    expect(bytes).toBeGreaterThan(20 * 1000)
    expect(oldestSeconds).toBeGreaterThan(0)
    await expectSound(app)
    heal()
    const ids = accepted.map(({ json }) => String(json.id))
    await expect
      .poll(async () => (await countSpooled(db())).images, { timeout: 60_000, interval: 500 })
      .toBe(0)
    for (const id of ids) {
      await expectReadable(await get(id))
      expect(await ledgerOf(app, id)).toEqual(['reserve', 'settle'])
    }
    expect(provider.seen).toHaveLength(calls + 20)
  })
})

describe('what waits', () => {
  let app: TestApp
  let key: string
  let id: string
  beforeAll(async () => {
    // What the service does in the background, these tests do by hand.
    app = await createApp({ WORKERS: '0', LEASE_SECONDS: '3600', SYNC_TIMEOUT: '1' })
    key = (await app.createKey(await app.register(), { mode: 'live' })).key
  })
  afterAll(() => app[Symbol.asyncDispose]())
  beforeEach(async () => {
    break_()
    id = parseId('gen', (await generateOn(app, key)).json.id)!
    await untilSpooled(app, 1)
  })
  afterEach(async () => {
    heal()
    await sql`update spooled_generations set retry_at = now()`.execute(db())
    for (let one = await claim(); one !== undefined; one = await claim()) {
      await drain(app.service.deps, one)
    }
    await expectSound(app)
  })

  const db = () => app.database.handle.db
  const claim = () => claimNext(app.service.deps)
  const due = () => sql`update spooled_generations set retry_at = now()`.execute(db())
  const rowOf = () =>
    db().selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  const leaveBehind = () =>
    sql`update generations set lease_expires_at = now() - interval '1 second'
      where id = ${id}`.execute(db())

  test('is taken by one process, under a lease of its own', async () => {
    await due()
    const before = (await rowOf()).lease_owner
    const claims = await Promise.all([claim(), claim(), claim()])
    expect(claims.filter((one) => one !== undefined)).toHaveLength(1)
    const [one] = claims.filter((one) => one !== undefined)
    const row = await rowOf()
    expect(row.lease_owner).toBe(one?.run.owner)
    expect(row.lease_owner).not.toBe(before)
    await drain(app.service.deps, one!)
    expect((await rowOf()).status).toBe('running')
    await expectSound(app)
  })

  test('is held by a lease that whoever would try again renews, and no other does', async () => {
    await sql`update generations set lease_expires_at = now() + interval '1 minute'
      where id = ${id}`.execute(db())
    const left = async () => (await rowOf()).lease_expires_at!.getTime() - Date.now()
    await renew(app.service.deps)
    expect(await left()).toBeLessThan(61_000)
    await renewSpooled(app.service.deps)
    expect(await left()).toBeGreaterThan(3_000_000)
  })

  test('is tried again later and later, and half a minute apart at most', async () => {
    const pauses: number[] = []
    for (let n = 0; n < 7; n++) {
      await due()
      await drain(app.service.deps, (await claim())!)
      expect(await claim()).toBeUndefined()
      const { rows } = await sql<{ seconds: number }>`
        select extract(epoch from retry_at - now())::float8 as seconds
        from spooled_generations`.execute(db())
      pauses.push(rows[0]!.seconds)
    }
    expect(pauses[0]).toBeGreaterThan(0.5)
    expect(pauses[0]).toBeLessThan(2.1)
    expect(pauses[6]).toBeGreaterThan(14)
    expect(pauses[6]).toBeLessThan(30.1)
  })

  test('of a process that died while it tried is handed to the next one, not failed', async () => {
    await due()
    const dead = (await claim())!
    app.service.deps.leases.held.delete(id)
    expect(await claim()).toBeUndefined()
    expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(0)
    await leaveBehind()
    expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
    expect((await rowOf()).status).toBe('running')
    heal()
    const next = (await claim())!
    await drain(app.service.deps, next)
    expect((await rowOf()).status).toBe('succeeded')
    // The dead one was only slow; what it stores is what the image has, and stays.
    await drain(app.service.deps, dead)
    const [image] = await db()
      .selectFrom('images')
      .selectAll()
      .where('generation_id', '=', id)
      .execute()
    expect(store.objects.has(`/pictures/${image!.object_key}`)).toBe(true)
  })

  test('of one that is only slow is neither put off nor ended by it once another has taken over', async () => {
    await due()
    const slow = (await claim())!
    await leaveBehind()
    await recoverAbandoned(app.service.deps, { all: false })
    const next = (await claim())!
    await drain(app.service.deps, slow)
    expect((await rowOf()).lease_owner).toBe(next.run.owner)
    heal()
    await drain(app.service.deps, slow)
    expect((await rowOf()).status).toBe('running')
    const [image] = await db().selectFrom('spooled_images').selectAll().execute()
    expect(store.objects.has(`/pictures/${image!.object_key}`)).toBe(true)
    await drain(app.service.deps, next)
    expect((await rowOf()).status).toBe('succeeded')
    expect(await ledgerOf(app, (await lastId())!)).toEqual(['reserve', 'settle'])
  })

  const lastId = async () =>
    (await app.request('GET', '/v1/generations?limit=1', { token: key })).json.data[0]?.id

  test('and was canceled while it was stored leaves nothing in the store', async () => {
    await due()
    const one = (await claim())!
    const before = store.objects.size
    heal()
    const gate = Promise.withResolvers<void>()
    const { objectStore } = app.service.deps
    const put = objectStore.put.bind(objectStore)
    Object.assign(objectStore, {
      put: async (object: Parameters<typeof put>[0]) => {
        await put(object)
        await gate.promise
      },
    })
    const draining = drain(app.service.deps, one)
    await expect.poll(() => store.objects.size).toBe(before + 1)
    const path = `/v1/generations/${await lastId()}/cancel`
    expect((await app.request('POST', path, { token: key })).json.status).toBe('canceled')
    gate.resolve()
    await draining
    Object.assign(objectStore, { put })
    expect(store.objects.size).toBe(before)
  })

  test('keeps its stored images from the sweep of orphans, however long it waits', async () => {
    heal()
    const [image] = await db().selectFrom('spooled_images').selectAll().execute()
    await sql`update spooled_images set body = null`.execute(db())
    const object = {
      key: image!.object_key,
      bytes: image!.body!,
      contentType: image!.mime_type,
      sha256: image!.sha256,
      filename: 'a.jpg',
    }
    const { objectStore } = app.service.deps
    await objectStore.put(object)
    const deleted: string[] = []
    const old = new Date(Date.now() - 48 * 3_600_000)
    const listed = {
      ...objectStore,
      now: async () => new Date(),
      delete: async (key: string) => void deleted.push(key),
      async *list(prefix = 'u/') {
        const { id } = await db()
          .selectFrom('database_identity')
          .selectAll()
          .executeTakeFirstOrThrow()
        const keys = prefix === 'u/' ? [object.key, 'u/an-orphan.png'] : [`${prefix}${id}`]
        for (const key of keys) yield { key, modifiedAt: old, bytes: 1 }
      },
    }
    await sweepObjects(app.service.deps, listed, new AbortController().signal)
    expect(deleted).toEqual(['u/an-orphan.png'])
  })
})

describe('a spool that is full', () => {
  let app: TestApp
  let user: Account
  let key: string
  beforeAll(async () => {
    // One of the provider's pictures, and not two.
    const { bytes } = await provider.generate({
      model: {} as never,
      prompt: '',
      size: '512',
      images: [],
      signal: new AbortController().signal,
      deadline: Number.POSITIVE_INFINITY,
    })
    app = await createApp({
      WORKERS: '0',
      LEASE_SECONDS: '3600',
      SYNC_TIMEOUT: '1',
      SPOOL_MAX_BYTES: String(Math.floor(bytes.length * 1.3)),
    })
    user = await app.register()
    key = (await app.createKey(user, { mode: 'live' })).key
  })
  afterAll(() => app[Symbol.asyncDispose]())

  const generate = (headers: Record<string, string> = {}) => generateOn(app, key, headers)

  test('loses what it has no room for, which is free, and lets nobody in before', async () => {
    const { deps } = app.service
    const queued = await generate({ prefer: 'respond-async' })
    break_()
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    provider.play(...gates.map(({ promise }) => promise))
    const calls = provider.seen.length
    const both = [generate({ prefer: 'wait=8' }), generate({ prefer: 'wait=8' })]
    await expect.poll(() => provider.seen.length).toBe(calls + 2)
    gates[1]!.resolve()
    await untilSpooled(app, 1)
    gates[0]!.resolve()
    const answers = await Promise.all(both)
    const lost = answers.find(({ status }) => status === 503)!
    expect(answers.map(({ status }) => status).toSorted()).toEqual([202, 503])
    expect(lost.json.error.code).toBe('unavailable')
    expect(lost.headers['x-should-retry']).toBe('false')
    expect(await ledgerOf(app, String(lost.headers['x-generation-id']))).toEqual([
      'reserve',
      'release',
    ])

    const ways: Record<string, string>[] = [{}, { prefer: 'respond-async' }]
    for (const headers of ways) {
      const refused = await generate(headers)
      expect(refused.status).toBe(503)
      expect(refused.json.error.code).toBe('unavailable')
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
      expect(refused.headers['x-should-retry']).toBe('true')
      expect(refused.headers['x-generation-id']).toBeUndefined()
    }
    expect(await takeNext(deps)).toBeUndefined()
    expect(provider.seen).toHaveLength(calls + 2)

    heal()
    await sql`update spooled_generations set retry_at = now()`.execute(deps.db)
    await drain(deps, (await claimNext(deps))!)
    expect((await takeNext(deps))?.row.id).toBe(parseId('gen', queued.json.id))
    expect((await generate()).status).toBe(200)
  })
})
