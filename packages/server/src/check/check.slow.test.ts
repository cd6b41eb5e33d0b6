import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { type RawBuilder, sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../test/harness.ts'
import { createWorld, SMALL } from '../../test/world.ts'
import { createSharpCodec } from '../adapters/image-codec/sharp.ts'
import { createSandboxProvider } from '../adapters/image-provider/sandbox.ts'
import * as generations from '../features/generations/generations.service.ts'
import * as webhooks from '../features/webhooks/webhooks.service.ts'
import { type ImageProvider, ProviderError } from '../ports/image-provider.ts'
import { type CheckOptions, findViolations } from './check.ts'

// Triggers count stored bytes again as the images come back.
const TABLES = sql`spending, usage, usage_days, idempotency_keys, stored_bytes, images, generations,
  webhook_attempts, webhook_deliveries, webhooks, webhook_secrets`
const OTHER = '01890000-0000-7000-8000-000000000001'

let app: TestApp
let key: string
let statuses: number[]
/** The provider has been asked for the one that runs, and may answer. */
const asked: PromiseWithResolvers<void> = Promise.withResolvers()
const held: PromiseWithResolvers<void> = Promise.withResolvers()
let running: Promise<unknown>

/** Fails once, waits until it is let go, or draws. */
function createProvider(): ImageProvider {
  const sandbox = createSandboxProvider({ codec: createSharpCodec() })
  let failures = 0
  return {
    async generate(request) {
      if (request.prompt === 'fails once' && failures++ === 0) {
        throw new ProviderError('upstream_unavailable', 'Down.')
      }
      if (request.prompt === 'blocked') throw new ProviderError('content_blocked', 'No.')
      if (request.prompt === 'runs') {
        asked.resolve()
        await held.promise
      }
      return sandbox.generate(request)
    },
  }
}

async function generate(token: string, prompt: string, idempotencyKey?: string) {
  const headers: Record<string, string> =
    idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }
  return app.request('POST', '/v1/generate', { token, headers, body: { ...SMALL, prompt } })
}

const run = (statement: RawBuilder<unknown>) => statement.execute(app.database.handle.db)
const check = (options?: CheckOptions) =>
  findViolations(app.database.handle.db, app.service.deps.objectStore, options)
const invariantsOf = async (options?: CheckOptions) => [
  ...new Set((await check(options)).map(({ invariant }) => invariant)),
]

/** One of each: a success, a second attempt, a failure, one that runs, a free one, two deleted. */
beforeAll(async () => {
  app = await createWorld({
    providers: { live: createProvider() },
    // Nobody renews the lease that is saved and put back.
    env: { LEASE_SECONDS: '3600' },
  })
  const account = await app.register()
  key = (await app.createKey(account, { mode: 'live', monthly_limit_usd: 100 })).key
  await app.request('POST', '/v1/webhooks', {
    token: account.token,
    body: { url: 'http://127.0.0.1:9/', events: ['generation.succeeded', 'generation.failed'] },
  })
  await run(sql`update webhooks set subscribed_at = subscribed_at - interval '1 minute'`)
  const test = (await app.createKey(account)).key
  const made = await generate(key, 'a success', 'one')
  const gone = await generate(key, 'deleted')
  await app.request('DELETE', `/v1/generations/${gone.json.id}`, { token: key })
  const leaver = await app.register()
  await generate(leaver.token, 'of somebody who left')
  const { token, password } = leaver
  const left = await app.request('POST', '/v1/auth/delete_account', { token, body: { password } })
  statuses = [
    left.status,
    made.status,
    (await generate(key, 'fails once', 'two')).status,
    (await generate(key, 'fails once', 'two')).status,
    (await generate(key, 'blocked', 'three')).status,
    (await generate(account.token, 'a success of a session')).status,
    (await generate(test, 'free')).status,
  ]
  running = generate(key, 'runs', 'four')
  await asked.promise
  for (const one of await webhooks.claim(app.service.deps, { failing: false, limit: 2 })) {
    await webhooks.deliver(app.service.deps, one, (userId, id) =>
      generations.readCurrent(app.service.deps, userId, id),
    )
  }
  await save()
})
afterAll(async () => {
  held.resolve()
  await running
  await app[Symbol.asyncDispose]()
})

const names = [
  'spending',
  'usage',
  'usage_days',
  'idempotency_keys',
  'generations',
  'images',
  'webhooks',
  'webhook_deliveries',
  'webhook_attempts',
]

async function save(): Promise<void> {
  for (const name of names) {
    await run(sql`create table ${sql.table(`saved_${name}`)} as table ${sql.table(name)}`)
  }
}

async function restore(): Promise<void> {
  await run(sql`truncate ${TABLES} cascade`)
  for (const name of names) {
    await run(sql`insert into ${sql.table(name)} select * from ${sql.table(`saved_${name}`)}`)
  }
}

test('finds nothing where nothing is wrong', async () => {
  expect(statuses).toEqual([204, 200, 503, 200, 422, 200, 200])
  expect(await check({ limits: { defaultMicros: null } })).toEqual([])
})

test('finds nothing while generations begin, end and are deleted', async () => {
  const one = async (_: unknown, index: number) => {
    const made = await generate(key, `busy ${index}`, `busy-${index}`)
    if (index % 2 === 0) return made.status
    const path = `/v1/generations/${made.json.id}`
    return (await app.request('DELETE', path, { token: key })).status
  }
  const done = new AbortController()
  const work = Promise.all(Array.from({ length: 10 }, one)).finally(() => done.abort())
  const found = []
  while (!done.signal.aborted) found.push(...(await check()))
  expect(new Set(await work)).toEqual(new Set([200, 204]))
  expect(found).toEqual([])
  await restore()
})

describe('finds what was planted in the rows:', () => {
  afterEach(restore)

  const of = (prompt: string) => sql`(select id from generations where prompt = ${prompt})`
  /** The ledger row of a kind, of the last attempt. */
  const row = (kind: string, prompt: string) =>
    sql`id = (select id from usage where kind = ${kind} and generation_id = ${of(prompt)}
      order by attempt desc limit 1)`
  const deleted = sql`generation_id not in (select id from generations)`

  test.each<[string, string, string, RawBuilder<unknown>]>([
    [
      'I1',
      'one that waits where nobody looks',
      'the queue does not know it',
      sql`update generations set status = 'queued' where prompt = 'runs'`,
    ],
    [
      'I1',
      'a lease that ran out',
      'ran out',
      sql`update generations set
      lease_expires_at = now() - interval '6 s' where prompt = 'runs'`,
    ],
    [
      'I1',
      'nobody who holds it',
      'nobody holds it',
      sql`update generations set
      lease_owner = null where prompt = 'runs'`,
    ],
    [
      'I2',
      'a price that is not what was charged',
      'ledger rows sum to',
      sql`update generations set
      cost_micros = cost_micros + 1 where prompt = 'a success'`,
    ],
    [
      'I2',
      'a failure that was charged',
      'ledger rows sum to',
      sql`update usage set
      amount_micros = amount_micros - 1 where ${row('release', 'blocked')}`,
    ],
    [
      'I2',
      'a failure that shows a price',
      'says that it costs',
      sql`update generations set
      cost_micros = 1 where prompt = 'blocked'`,
    ],
    [
      'I2',
      'a reservation that is not what runs',
      'ledger rows sum to',
      sql`update generations set
      reserved_micros = reserved_micros + 1 where prompt = 'runs'`,
    ],
    [
      'I2',
      'a free one without a reservation',
      'have 0 reservations',
      sql`delete from usage
      where ${row('reserve', 'free')}`,
    ],
    [
      'I2',
      'a free one without an end',
      'does not run',
      sql`delete from usage where ${row('settle', 'free')}`,
    ],
    [
      'I2',
      'a free one that was charged',
      'in test mode',
      sql`update usage set
      amount_micros = -1 where ${row('settle', 'free')}`,
    ],
    [
      'I2',
      'an earlier attempt that was never released',
      'attempt 1 has reserved',
      sql`delete from usage
      where kind = 'release' and generation_id = ${of('fails once')}`,
    ],
    [
      'I2',
      'a deleted one that never ended',
      'does not run',
      sql`delete from usage
      where ${deleted} and kind = 'settle'`,
    ],
    [
      'I2',
      'a deleted one that was never reserved',
      'has 0 reservations',
      sql`delete from usage
      where ${deleted} and kind = 'reserve'`,
    ],
    [
      'I2',
      'an attempt that earned money',
      'gave more than it took',
      sql`update usage set
      amount_micros = 1e9 where ${deleted} and kind = 'settle'`,
    ],
    [
      'I2',
      'a row on another account',
      'another account',
      sql`update usage set
      user_id = ${OTHER} where ${row('settle', 'free')}`,
    ],
    [
      'I3',
      'a counter above its rows',
      'counter',
      sql`update spending set micros = micros + 1
      where owner_id = (select user_id from generations limit 1)`,
    ],
    [
      'I3',
      'a counter of a key below its rows',
      'counter',
      sql`update spending set micros = micros - 1
      where owner_id in (select id from api_keys)`,
    ],
    [
      'I3',
      'a counter without rows',
      'counter',
      sql`insert into spending values (${OTHER}, '2026-01', 5)`,
    ],
    ['I3', 'rows without a counter', 'counter', sql`delete from spending`],
    [
      'I3',
      'a counter of another month',
      'counter of 2020-01',
      sql`update spending set month = '2020-01'`,
    ],
    [
      'I3',
      'an end on another day',
      'ended on the account of',
      sql`update usage set
      day = '2020-01-01' where ${row('release', 'blocked')}`,
    ],
    [
      'I6',
      'a record of a foreign generation',
      'of another account',
      sql`update idempotency_keys set
      scope = 'session' where key = 'one'`,
    ],
    [
      'I6',
      'a record that ends before its generation',
      'may end before',
      sql`update idempotency_keys set
      expires_at = now() + interval '1 h' where key = 'four'`,
    ],
    [
      'I6',
      'a record that never ends',
      'never will',
      sql`update idempotency_keys set
      expires_at = null where key = 'one'`,
    ],
    ['I8', 'a request too few', '-1 requests', sql`update usage_days set requests = requests - 1`],
    ['I8', 'an image too many', '1 images', sql`update usage_days set images = images + 1`],
    [
      'I7',
      'a success without a delivery',
      'its generation.succeeded of attempt 1 has no delivery',
      sql`delete from webhook_deliveries where generation_id = ${of('a success')}`,
    ],
    [
      'I7',
      'a failure without a delivery',
      'its generation.failed of attempt 1 has no delivery',
      sql`delete from webhook_deliveries where generation_id = ${of('blocked')}`,
    ],
    [
      'I7',
      'an earlier attempt without a delivery',
      'its generation.failed of attempt 1 has no delivery',
      sql`delete from webhook_deliveries
      where generation_id = ${of('fails once')} and generation_attempt = 1`,
    ],
    [
      'I7',
      'an attempt under another id',
      'another webhook-id',
      sql`update webhook_attempts set message_id = ${OTHER}`,
    ],
    [
      'I7',
      'an endpoint of another account',
      'the endpoint of another account',
      sql`update webhooks set user_id = (select id from users where deleted_at is not null)`,
    ],
    [
      'I8',
      'other input tokens',
      '1 and',
      sql`update usage_days set input_tokens = input_tokens + 1`,
    ],
    [
      'I8',
      'other output tokens',
      '1 tokens',
      sql`update usage_days set output_tokens = output_tokens + 1`,
    ],
    ['I8', 'another price', '1 micro', sql`update usage_days set cost_micros = cost_micros + 1`],
    ['I8', 'a day that is missing', '-1 requests', sql`delete from usage_days where mode = 'test'`],
    [
      'I8',
      'a day of another key',
      '1 requests',
      sql`update usage_days set key_id = ${OTHER}
      where key_id is null`,
    ],
    ['I9', 'a stored byte too many', 'images have', sql`update stored_bytes set bytes = bytes + 1`],
    ['I9', 'a counter that is missing', 'bytes is 0', sql`delete from stored_bytes`],
  ])('%s, %s', async (invariant, _planted, what, plant) => {
    await run(plant)
    const found = { invariant, what: expect.stringContaining(what) }
    expect(await check()).toContainEqual(expect.objectContaining(found))
  })

  test('I7, two deliveries of one event', async () => {
    await run(sql`drop index webhook_deliveries_once`)
    await run(sql`insert into webhook_deliveries
      (id, webhook_id, generation_id, generation_attempt, type, next_attempt_at)
      select gen_random_uuid(), webhook_id, generation_id, generation_attempt, type, now()
      from webhook_deliveries where generation_id = ${of('blocked')}`)
    expect(await check()).toEqual([
      expect.objectContaining({
        invariant: 'I7',
        what: 'an event of it has 2 deliveries to one endpoint',
      }),
    ])
  })

  test.each<[string, RawBuilder<unknown>]>([
    ['was subscribed later', sql`update webhooks set subscribed_at = now()`],
    ['was disabled', sql`update webhooks set disabled_at = now(), disabled_reason = 'user'`],
    ['was deleted', sql`update webhooks set deleted_at = now()`],
    ['asked for something else', sql`update webhooks set events = '{generation.canceled}'`],
  ])('I7, nothing of an endpoint that %s', async (_, change) => {
    await run(change)
    await run(sql`delete from webhook_deliveries`)
    expect(await check()).toEqual([])
  })

  test('I6, two generations of one key', async () => {
    await run(sql`alter table idempotency_keys drop constraint idempotency_keys_pkey`)
    await run(sql`insert into idempotency_keys
      select user_id, scope, key, fingerprint, ${of('blocked')}, expires_at, created_at
      from idempotency_keys where key = 'one'`)
    expect(await check()).toEqual([
      expect.objectContaining({ invariant: 'I6', what: '2 live records have the same key' }),
    ])
  })
})

test('I3, a counter above a limit that was never lowered', async () => {
  expect(await invariantsOf({ limits: { defaultMicros: 1 } })).toEqual(['I3'])
})

describe('finds what the provider was called too often:', () => {
  const idOf = async (prompt: string) => {
    const { db } = app.database.handle
    const query = db.selectFrom('generations').select('id').where('prompt', '=', prompt)
    return (await query.executeTakeFirstOrThrow()).id
  }
  test.each([
    ['a success', 3, []],
    ['a success', 4, ['I5']],
    ['fails once', 6, []],
    ['fails once', 7, ['I5']],
  ])('I5, %s with %i calls', async (prompt, count, expected) => {
    const calls = new Map([[await idOf(prompt), count]])
    expect(await invariantsOf({ upstream: { calls } })).toEqual(expected)
  })
  test('I5, a call of no generation', async () => {
    expect(await invariantsOf({ upstream: { calls: new Map([['nobody', 1]]) } })).toEqual(['I5'])
  })
  test('I5, of one that was deleted', async () => {
    const { rows } = await sql<{ id: string }>`
      select generation_id as id from usage
      where generation_id not in (select id from generations)`.execute(app.database.handle.db)
    const found = (count: number) =>
      invariantsOf({ upstream: { calls: new Map([[rows[0]!.id, count]]), perImage: 1 } })
    expect([await found(4), await found(5)]).toEqual([[], ['I5']])
  })
})

describe.each(['disk', 'inline'])('finds what is wrong with the objects of %s:', (STORAGE) => {
  let other: TestApp
  beforeAll(async () => {
    other = await createWorld({ env: { STORAGE } })
    const { key } = await other.createKey(await other.register())
    const body = { ...SMALL, prompt: 'a picture' }
    await other.request('POST', '/v1/generate', { token: key, body })
  })
  afterAll(() => other[Symbol.asyncDispose]())

  const store = () => other.service.deps.objectStore
  const db = () => other.database.handle.db
  const violations = () => findViolations(db(), store())
  const image = () => db().selectFrom('images').selectAll().executeTakeFirstOrThrow()
  const put = (key: string, bytes: Buffer) =>
    store().put({ key, bytes, sha256: '', contentType: 'image/jpeg', filename: 'a.jpg' })

  let original: Buffer
  beforeEach(async () => {
    const { object_key } = await image()
    original ??= Buffer.concat(await (await store().read(object_key))!.toArray())
    await put(object_key, original)
  })

  test('I4, bytes that are not those that were recorded', async () => {
    const { id, object_key } = await image()
    await put(object_key, Buffer.from('other bytes'))
    expect(await violations()).toEqual([
      { invariant: 'I4', what: expect.stringContaining('SHA-256'), ids: [id, object_key] },
    ])
  })

  test('I4, an object that is missing, until its image has expired', async () => {
    expect(await violations()).toEqual([])
    const { id, object_key } = await image()
    await store().delete(object_key)
    expect(await violations()).toEqual([
      { invariant: 'I4', what: expect.stringContaining('missing'), ids: [id, object_key] },
    ])
    await sql`update images set expires_at = now()`.execute(db())
    expect(await violations()).toEqual([])
    await sql`update images set expires_at = null`.execute(db())
  })

  test('I4, an old object without an image, and no young one', async () => {
    const key = `u/${OTHER}/${OTHER}.jpg`
    await put(key, Buffer.from('an orphan'))
    expect(await violations()).toEqual([])
    await age(key)
    expect(await violations()).toEqual([
      { invariant: 'I4', what: expect.stringContaining('no image'), ids: [key] },
    ])
    await store().delete(key)
  })

  describe('of a generation whose pictures wait,', () => {
    const OLD = `u/${OTHER}/stored-early.jpg`
    const generation = sql`(select id from generations limit 1)`
    beforeEach(async () => {
      await sql`update generations set status = 'running', lease_owner = gen_random_uuid(),
        lease_expires_at = now() + interval '1 h'`.execute(db())
      await put(OLD, original)
      await age(OLD)
      const { sha256 } = await image()
      await sql`insert into spooled_generations (generation_id, result)
        select ${generation}, '{}'`.execute(db())
      await sql`insert into spooled_images (id, generation_id, position, storage, object_key,
          mime_type, width, height, bytes, sha256, body)
        select gen_random_uuid(), ${generation}, position, ${store().kind}, key, 'image/jpeg', 1, 1, 1,
          sha256, body
        from (values (0, ${OLD}, ${sha256}, null),
          (1, 'u/waits.jpg', encode(sha256('waits'), 'hex'), 'waits'::bytea))
          as planted (position, key, sha256, body)`.execute(db())
    })
    afterEach(async () => {
      await db().deleteFrom('spooled_generations').execute()
      await sql`update generations set status = 'succeeded', lease_owner = null,
        lease_expires_at = null`.execute(db())
      await store().delete(OLD)
    })

    /** Those of the ledger tell that what has ended is shown as running. */
    const found = async () =>
      (await violations())
        .filter(({ invariant }) => invariant !== 'I2')
        .map(({ invariant, what }) => `${invariant} ${what}`)

    test('nothing, where all of them are there', async () => {
      expect(await found()).toEqual([])
    })

    test.each<[string, RawBuilder<unknown>]>([
      [
        'I1 its pictures wait for their store, and it is succeeded',
        sql`update generations set status = 'succeeded'`,
      ],
      [
        'I1 it is running, and its lease ran out at',
        sql`update generations set lease_expires_at = now() - interval '1 h'`,
      ],
      ['I1 it waits for its store, and has no pictures', sql`delete from spooled_images`],
      [
        'I4 its bytes in the spool have another SHA-256',
        sql`update spooled_images set body = 'other' where body is not null`,
      ],
      ['I4 an object in', sql`delete from spooled_images where body is null`],
      [
        'I4 its object is missing',
        sql`update spooled_images set object_key = 'u/gone.jpg' where body is null`,
      ],
    ])('%s', async (what, plant) => {
      await plant.execute(db())
      expect(await found()).toContainEqual(expect.stringContaining(what))
    })
  })

  test('I4, an image whose object is doomed, and no doomed object without one', async () => {
    const key = `u/${OTHER}/${OTHER}.jpg`
    await put(key, Buffer.from('of an account that is gone'))
    await age(key)
    const { id, object_key } = await image()
    const doom = (one: string) =>
      db().insertInto('doomed_objects').values({ storage: store().kind, object_key: one }).execute()
    await doom(key)
    expect(await violations()).toEqual([])
    await doom(object_key)
    expect(await violations()).toEqual([
      { invariant: 'I4', what: 'its object is about to be deleted', ids: [id, object_key] },
    ])
    await db().deleteFrom('doomed_objects').execute()
    await store().delete(key)
  })

  async function age(key: string): Promise<void> {
    const old = new Date(Date.now() - 27 * 3_600_000)
    if (STORAGE === 'disk') return utimes(join(other.dataDir, 'files', key), old, old)
    const { db } = other.database.handle
    await sql`update inline_objects set modified_at = ${old} where key = ${key}`.execute(db)
  }
})
