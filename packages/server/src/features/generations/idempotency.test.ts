import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Account, TestApp } from '../../../test/harness.ts'
import { openPort, requestText, say } from '../../../test/raw-http.ts'
import { createScriptedProvider, type ScriptedProvider } from '../../../test/scripted-provider.ts'
import { createWorld, SMALL } from '../../../test/world.ts'
import { parseId } from '../../kernel/ids.ts'
import { ProviderError, type ProviderErrorCode } from '../../ports/image-provider.ts'
import { recoverAbandoned } from './recovering.ts'

let app: TestApp
let provider: ScriptedProvider
let user: Account
let key: string
let now = Date.now()
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({ providers: { live: provider }, now: () => new Date(now) })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
})
afterAll(() => app[Symbol.asyncDispose]())

/** A key of idempotency that no other test has. */
let unused: string
let calls: number
let serial = 0
beforeEach(() => {
  unused = `test-${++serial}`
  calls = provider.seen.length
})
const made = () => provider.seen.length - calls

const db = () => app.database.handle.db
const generate = (idempotencyKey = unused, body: object = {}, token = key) =>
  app.request('POST', '/v1/generate', {
    token,
    headers: { 'idempotency-key': idempotencyKey },
    body: { prompt: 'a banana', ...SMALL, ...body },
  })
const records = () =>
  db().selectFrom('idempotency_keys').selectAll().where('key', '=', unused).execute()
const ledgerOf = (id: string) =>
  db()
    .selectFrom('usage')
    .select(['attempt', 'kind', 'amount_micros'])
    .where('generation_id', '=', parseId('gen', id)!)
    .orderBy('id')
    .execute()

describe('a repeat with the same Idempotency-Key', () => {
  test('is answered by the same generation, and buys nothing', async () => {
    const first = await generate()
    expect(first.status).toBe(200)
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    const repeat = await generate()
    expect(repeat.status).toBe(200)
    expect(repeat.json.id).toBe(first.json.id)
    expect(repeat.json.images[0].sha256).toBe(first.json.images[0].sha256)
    expect(repeat.headers).toMatchObject({
      'idempotent-replayed': 'true',
      'x-generation-id': first.json.id,
      location: `/v1/generations/${first.json.id}`,
    })
    expect(made()).toBe(1)
    expect((await ledgerOf(first.json.id)).map(({ kind }) => kind)).toEqual(['reserve', 'settle'])
  })

  test('has fresh URLs when those of the first answer have expired', async () => {
    const first = await generate()
    now += 2 * 3600 * 1000
    const pathOf = (url: string) => url.slice(new URL(url).origin.length)
    expect((await app.request('GET', pathOf(first.json.url))).status).not.toBe(200)
    const repeat = await generate()
    expect((await app.request('GET', pathOf(repeat.json.url))).status).toBe(200)
  })

  test('may come over the other face, for one record serves both', async () => {
    const first = await generate()
    const repeat = await app.request('POST', '/trpc/generate', {
      token: key,
      headers: { 'idempotency-key': unused },
      body: { prompt: 'a banana', ...SMALL },
    })
    expect(repeat.json.result.data.id).toBe(first.json.id)
    expect(repeat.headers['idempotent-replayed']).toBe('true')
    expect(await records()).toHaveLength(1)
    const mismatch = await app.request('POST', '/trpc/generate', {
      token: key,
      headers: { 'idempotency-key': unused },
      body: { prompt: 'a melon', ...SMALL },
    })
    expect(mismatch.status).toBe(422)
    expect(mismatch.json.error.data.error.code).toBe('idempotency_mismatch')
  })

  test('in one batch is one generation', async () => {
    const input = { prompt: 'a banana', ...SMALL }
    const { json } = await app.request('POST', '/trpc/generate,generate?batch=1', {
      token: key,
      headers: { 'idempotency-key': unused },
      body: { 0: input, 1: input },
    })
    const ids = json.map((one: { result: { data: { id: string } } }) => one.result.data.id)
    expect(ids[0]).toBe(ids[1])
    expect(made()).toBe(1)
  })

  test('and another body is 422 idempotency_mismatch, not to be repeated', async () => {
    const first = await generate()
    const other = await generate(unused, { prompt: 'a melon' })
    expect(other.status).toBe(422)
    expect(other.json.error).toMatchObject({
      code: 'idempotency_mismatch',
      param: 'Idempotency-Key',
    })
    expect(other.headers['x-should-retry']).toBe('false')
    expect(other.headers['idempotent-replayed']).toBeUndefined()
    expect((await generate()).json.id).toBe(first.json.id)
    expect(made()).toBe(1)
  })

  test('is the same whatever the order of its members', async () => {
    const metadata = { a: '1', b: '2' }
    const first = await generate(unused, { metadata, n: 1 })
    const body = `{"n":1,"metadata":{"b":"2","a":"1"},"size":"512","model":"nano-banana-2","prompt":"a banana"}`
    const headers = { 'idempotency-key': unused }
    const repeat = await app.request('POST', '/v1/generate', { token: key, headers, body })
    expect(repeat.json.id).toBe(first.json.id)
  })

  test('while the first one runs waits for it', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(gate.promise)
    const first = generate()
    const repeat = generate()
    setTimeout(() => gate.resolve(), 300)
    expect((await repeat).json.id).toBe((await first).json.id)
    const replayed = [await first, await repeat].map((one) => one.headers['idempotent-replayed'])
    expect(replayed.toSorted()).toEqual(['true', undefined])
    expect(made()).toBe(1)
  })

  test('is told where to look when the first one runs longer than that', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(gate.promise)
    const first = generate()
    // On Postgres either of two that are sent at once may be the first.
    await expect.poll(made).toBe(1)
    const repeat = await generate()
    expect(repeat.status).toBe(409)
    expect(repeat.json.error.code).toBe('idempotency_in_progress')
    expect(repeat.headers).toMatchObject({ 'retry-after': '2', 'x-should-retry': 'true' })
    const { location, 'x-generation-id': id } = repeat.headers
    expect(location).toBe(`/v1/generations/${id}`)
    expect((await app.request('GET', location!, { token: key })).json.status).toBe('running')
    gate.resolve()
    expect((await first).json.id).toBe(id)
    expect(made()).toBe(1)
  })
})

describe('images in the body', () => {
  let picture: Buffer
  beforeAll(async () => {
    const { sanitize } = app.service.deps.codec
    picture = Buffer.from((await sanitize(await smallPng(), { maxBytes: 1e6 })).bytes)
  })

  const form = (bytes: Uint8Array) => {
    const data = new FormData()
    data.set('prompt', 'a banana')
    data.set('model', SMALL.model)
    data.set('size', SMALL.size)
    data.append('image', new Blob([new Uint8Array(bytes)], { type: 'image/png' }), 'a.png')
    return data
  }
  const sendForm = async (bytes: Uint8Array) => {
    const encoded = new Response(form(bytes))
    const payload = Buffer.from(await encoded.arrayBuffer())
    const response = await app.service.http.app.inject({
      method: 'POST',
      url: '/v1/generate',
      headers: {
        authorization: `Bearer ${key}`,
        'idempotency-key': unused,
        'content-type': encoded.headers.get('content-type')!,
      },
      payload,
    })
    return { status: response.statusCode, json: response.json() }
  }

  test('count by their bytes: base64, a data: URL and a form are the same', async () => {
    const base64 = picture.toString('base64')
    const first = await generate(unused, { images: [{ data: base64 }] })
    expect(first.status).toBe(200)
    const dataUrl = await generate(unused, {
      images: [{ data: `data:image/png;base64,${base64}` }],
    })
    const asForm = await sendForm(picture)
    expect([dataUrl.json.id, asForm.json.id]).toEqual([first.json.id, first.json.id])
    expect(made()).toBe(1)
  })

  test('of other bytes are another request', async () => {
    expect((await sendForm(picture)).status).toBe(200)
    const changed = Buffer.concat([picture, Buffer.from([0])])
    expect((await sendForm(changed)).json.error.code).toBe('idempotency_mismatch')
  })
})

const smallPng = async () => {
  const { default: sharp } = await import('sharp')
  return sharp({ create: { width: 8, height: 8, channels: 3, background: 'gold' } })
    .png()
    .toBuffer()
}

const VISIBLE = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 0x21 + i))

describe('the header', () => {
  const longest = 'k'.repeat(255)

  test.each([
    ['quoted', 'quoted-1', '"quoted-1"'],
    ['of 255 characters', longest, `"${longest}"`],
    ['of every visible character', VISIBLE, `"${VISIBLE.replaceAll(/["\\]/g, '\\$&')}"`],
  ])('%s is the same key as bare', async (_, bare, quoted) => {
    const first = await generate(bare)
    expect(first.status).toBe(200)
    expect((await generate(quoted)).json.id).toBe(first.json.id)
  })

  test.each([
    ['empty', ''],
    ['empty in quotes', '""'],
    ['of 256 characters', 'k'.repeat(256)],
    ['of 256 characters in quotes', `"${'k'.repeat(256)}"`],
    ['with a space', 'a key'],
    ['with a control character', 'a\u0001key'],
    ['with DEL', 'a\u007fkey'],
    ['beyond ASCII', 'schl\u00fcssel'],
    ['with a no-break space at its end', 'key\u00a0'],
    ['with a quote that is not closed', '"key'],
    ['with an escape that is none', String.raw`"a\key"`],
  ])('%s is refused, and nothing is made', async (_, header) => {
    const refused = await generate(header)
    expect(refused.status).toBe(400)
    expect(refused.json.error).toMatchObject({ code: 'invalid_input', param: 'Idempotency-Key' })
    expect(made()).toBe(0)
  })

  test('given twice is refused', async () => {
    const body = JSON.stringify({ prompt: 'a banana', ...SMALL })
    const headers = [
      `Authorization: Bearer ${key}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      'Idempotency-Key: one',
      'Idempotency-Key: one',
    ]
    const text = requestText('POST /v1/generate', headers, body)
    const refused = await say(await openPort(app), text)
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('"param":"Idempotency-Key"')
    expect(made()).toBe(0)
  })
})

describe('a first request that failed', () => {
  test.each<[ProviderErrorCode, number]>([
    ['content_blocked', 422],
    ['no_image', 422],
    ['upstream_failed', 424],
    ['upstream_invalid', 424],
  ])('for good with %s gives the repeat the stored error', async (code, status) => {
    provider.play(new ProviderError(code, 'In words of its own.'))
    const first = await generate()
    const repeat = await generate()
    for (const answer of [first, repeat]) {
      expect(answer.status).toBe(status)
      expect(answer.json.error).toMatchObject({ code, message: 'In words of its own.' })
      expect(answer.headers['x-should-retry']).toBe('false')
      expect(answer.headers['x-generation-id']).toBe(first.headers['x-generation-id'])
    }
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    expect(repeat.headers['idempotent-replayed']).toBe('true')
    expect(made()).toBe(1)
  })

  test('for now gives the repeat one more attempt of the same generation', async () => {
    provider.play(
      new ProviderError('upstream_unavailable', 'Not now.'),
      new ProviderError('upstream_timeout', 'Not now either.'),
    )
    const failures = [await generate(), await generate()]
    const last = await generate()
    expect([...failures, last].map(({ status }) => status)).toEqual([503, 503, 200])
    const ids = [...failures, last].map(({ headers }) => headers['x-generation-id'])
    expect(new Set(ids)).toEqual(new Set([last.json.id]))
    expect(last.json).toMatchObject({ status: 'succeeded', error: null })
    expect(last.headers['idempotent-replayed']).toBeUndefined()
    const ledger = await ledgerOf(last.json.id)
    expect(ledger.map(({ attempt, kind }) => `${attempt} ${kind}`)).toEqual([
      '1 reserve',
      '1 release',
      '2 reserve',
      '2 release',
      '3 reserve',
      '3 settle',
    ])
    const sum = ledger.reduce((total, { amount_micros: micros }) => total + micros, 0)
    expect(sum).toBe(-Math.round(last.json.usage.cost_usd * 1e6))
    expect((await generate()).headers['idempotent-replayed']).toBe('true')
    expect(made()).toBe(3)
  })

  test('gives all the repeats that come at once one attempt together', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(new ProviderError('upstream_unavailable', 'Not now.'), gate.promise)
    await generate()
    const repeats = Array.from({ length: 6 }, () => generate())
    setTimeout(() => gate.resolve(), 300)
    const ids = (await Promise.all(repeats)).map(({ json }) => json.id)
    expect(new Set(ids).size).toBe(1)
    expect(made()).toBe(2)
  })

  test('is held by the attempt that runs, whatever others tried', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(new ProviderError('upstream_unavailable', 'Not now.'), gate.promise)
    const { held } = app.service.deps.leases
    const uuid = parseId('gen', String((await generate()).headers['x-generation-id']))!
    expect(held.has(uuid)).toBe(false)
    const repeats = Array.from({ length: 4 }, () => generate())
    await expect.poll(() => provider.seen.length).toBe(calls + 2)
    // The others have been refused by now.
    await sleep(100)
    const { attempt, lease_owner } = await db()
      .selectFrom('generations')
      .select(['attempt', 'lease_owner'])
      .where('id', '=', uuid)
      .executeTakeFirstOrThrow()
    expect(attempt).toBe(2)
    expect(held.get(uuid)?.owner).toBe(lease_owner)
    gate.resolve()
    await Promise.all(repeats)
    expect(held.has(uuid)).toBe(false)
  })

  test.each([
    ['400', { size: '4K', model: 'nano-banana-2-lite' }, 400],
    ['404', { model: 'no-such-model' }, 404],
    ['404 of an image', { images: [{ generation_id: 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz' }] }, 404],
  ])('before work began with %s leaves the key to any other request', async (_, body, status) => {
    expect((await generate(unused, body)).status).toBe(status)
    expect(await records()).toEqual([])
    expect((await generate()).status).toBe(200)
  })

  test('for want of money or of a place leaves the key as well', async () => {
    const poor = await app.createKey(user, { mode: 'live', monthly_limit_usd: 0 })
    const refused = await generate(unused, {}, poor.key)
    expect(refused.status).toBe(402)
    expect(refused.headers['x-generation-id']).toBeUndefined()
    const single = await app.createKey(user, { mode: 'live', max_concurrency: 1 })
    const gate = Promise.withResolvers<void>()
    provider.play(gate.promise)
    const running = generate(`${unused}-other`, {}, single.key)
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    expect((await generate(unused, {}, single.key)).status).toBe(429)
    gate.resolve()
    await running
    expect(await records()).toEqual([])
    expect((await generate(unused, { prompt: 'a melon' }, single.key)).status).toBe(200)
  })
})

describe('a record', () => {
  const hoursLeft = async () => {
    const { rows } = await sql<{ hours: number | null }>`
      select extract(epoch from expires_at - now())::float / 3600 as hours
      from idempotency_keys where key = ${unused}`.execute(db())
    return rows[0]?.hours
  }
  const shift = (interval: string) =>
    sql`update idempotency_keys set expires_at = expires_at - ${interval}::interval
      where key = ${unused}`.execute(db())

  test('lasts 24 hours from the end of its generation, then the request is new', async () => {
    const first = await generate()
    expect(await hoursLeft()).toBeCloseTo(24, 1)
    await shift('23 hours 59 minutes')
    expect((await generate()).json.id).toBe(first.json.id)
    await shift('1 minute')
    const anew = await generate(unused, { prompt: 'a melon' })
    expect(anew.status).toBe(200)
    expect(anew.json.id).not.toBe(first.json.id)
    expect(await records()).toHaveLength(1)
    expect((await generate(unused, { prompt: 'a melon' })).json.id).toBe(anew.json.id)
  })

  test('does not end while a further attempt runs', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(new ProviderError('upstream_unavailable', 'Not now.'), gate.promise)
    await generate()
    await shift('23 hours')
    expect(await hoursLeft()).toBeCloseTo(1, 1)
    const second = generate()
    await expect.poll(() => provider.seen.length).toBe(calls + 2)
    expect(await hoursLeft()).toBeNull()
    gate.resolve()
    await second
    expect(await hoursLeft()).toBeCloseTo(24, 1)
  })

  test('of a process that died gives the repeat an attempt of the same generation', async () => {
    const gate = Promise.withResolvers<void>()
    provider.play(gate.promise)
    const lost = generate()
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    await sql`update generations set lease_expires_at = now() - interval '1 second'
      where status = 'running'`.execute(db())
    expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
    const repeat = await generate()
    expect(repeat.json.status).toBe('succeeded')
    gate.resolve()
    const late = await lost
    expect(late.status).toBe(503)
    expect(late.headers['x-generation-id']).toBe(repeat.json.id)
    expect(
      (await ledgerOf(repeat.json.id)).map(({ attempt, kind }) => `${attempt} ${kind}`),
    ).toEqual(['1 reserve', '1 release', '2 reserve', '2 settle'])
    const { json } = await app.request('GET', `/v1/generations/${repeat.json.id}`, { token: key })
    expect(json.images).toEqual([expect.objectContaining({ id: repeat.json.images[0].id })])
  })

  test('of a generation that was deleted is not found, and nothing is bought again', async () => {
    const { json } = await generate()
    const deleted = await app.request('DELETE', `/v1/generations/${json.id}`, { token: key })
    expect(deleted.status).toBe(204)
    const repeat = await generate()
    expect(repeat.status).toBe(404)
    expect(repeat.json.error.code).toBe('not_found')
    expect(made()).toBe(1)
  })

  test('goes with its account, also while its generation runs', async () => {
    const gone = await app.register()
    const gate = Promise.withResolvers<void>()
    provider.play(gate.promise)
    const running = generate(unused, {}, gone.token)
    await expect.poll(() => provider.seen.length).toBe(calls + 1)
    const { password } = gone
    const deleted = await app.request('POST', '/v1/auth/delete_account', {
      token: gone.token,
      body: { password },
    })
    expect(deleted.status).toBe(204)
    gate.resolve()
    expect((await running).status).toBe(503)
    expect(await records()).toEqual([])
  })
})
