import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createSharpCodec } from '../../adapters/image-codec/sharp.ts'
import { createSandboxProvider } from '../../adapters/image-provider/sandbox.ts'
import { idOf, newUuid, uuidOf } from '../../kernel/ids.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import type { Account, TestApp } from '../../../test/harness.ts'
import { createWorld, generate } from '../../../test/world.ts'

const sandbox = createSandboxProvider({ codec: createSharpCodec() })
/** While there is one, the provider waits for it before it answers. */
let gate: PromiseWithResolvers<void> | undefined
let calls = 0
const gated: ImageProvider = {
  async generate(request) {
    calls++
    await gate?.promise
    return { ...(await sandbox.generate(request)), text: `of ${request.prompt}` }
  },
}

let app: TestApp
let user: Account
const start = (storage: string) =>
  createWorld({ env: { STORAGE: storage }, providers: { live: gated, test: gated } })
beforeAll(async () => {
  app = await start('disk')
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())
afterEach(() => open())

const open = () => gate?.resolve()
/** Begins a generation that runs until `open`. */
async function begin() {
  gate = Promise.withResolvers<void>()
  const before = calls
  const running = generate(app, user.token)
  await expect.poll(() => calls).toBe(before + 1)
  const { json } = await get('/v1/generations?status=running')
  return { id: json.data[0].id as string, running }
}

const remove = (id: string, token = user.token, at = app) =>
  at.request('DELETE', `/v1/generations/${id}`, { token })
const get = (path: string, token = user.token, at = app) => at.request('GET', path, { token })
const statusOf = async (id: string) => (await get(`/v1/generations/${id}`)).status

/** Tables in which some text occurs. */
async function tablesWith({ database }: TestApp, text: string): Promise<string[]> {
  const { db } = database.handle
  const found: string[] = []
  for (const { schema, name } of await db.introspection.getTables()) {
    const { rows } = await sql`
      select from ${sql.id(schema ?? 'public', name)} t where strpos(t::text, ${text}) > 0 limit 1`.execute(
      db,
    )
    if (rows.length > 0) found.push(name)
  }
  return found
}

const filesOf = async ({ dataDir }: TestApp) => {
  const folder = join(dataDir, 'files')
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile())
}

/** What the account is told of its money, and what the ledger holds. */
async function booksOf({ token }: Account, at: TestApp) {
  const reports = ['day', 'key', 'model'].map((by) => get(`/v1/usage?group_by=${by}`, token, at))
  const { json: me } = await get('/v1/auth/me', token, at)
  const ledger = await at.database.handle.db.selectFrom('usage').selectAll().orderBy('id').execute()
  return { usage: (await Promise.all(reports)).map(({ json }) => json), me, ledger }
}

describe.each(['disk', 'inline'])('with STORAGE=%s', (storage) => {
  let at: TestApp
  beforeAll(async () => {
    at = await start(storage)
  })
  afterAll(() => at[Symbol.asyncDispose]())

  test('deletion removes all but the books', async () => {
    const owner = await at.register()
    const { key } = await at.createKey(owner, { mode: 'live' })
    const kept = await generate(at, key)
    const made = await generate(at, key, {
      prompt: 'a banana in zanzibar',
      metadata: { place: 'zanzibar' },
      user: 'zanzibar',
      n: 2,
    })
    const books = await booksOf(owner, at)
    expect(books.me.spent_this_month_usd).toBeGreaterThan(0)
    expect(await tablesWith(at, 'zanzibar')).toEqual(['generations'])

    const { status, text } = await remove(made.id, key, at)
    expect({ status, text }).toEqual({ status: 204, text: '' })

    expect(await tablesWith(at, 'zanzibar')).toEqual([])
    for (const image of made.images) {
      expect(await tablesWith(at, uuidOf(image.id))).toEqual([])
      expect((await get(`/v1/images/${image.id}/content`, key, at)).status).toBe(404)
      if (storage === 'disk') {
        const { pathname, search } = new URL(image.url)
        expect((await get(pathname + search, key, at)).status).toBe(404)
      }
    }
    expect((await get(`/v1/generations/${made.id}`, key, at)).status).toBe(404)
    const { data } = (await get('/v1/generations', key, at)).json
    expect(data.map(({ id }: { id: string }) => id)).toEqual([kept.id])
    expect(await filesOf(at)).toHaveLength(storage === 'disk' ? 1 : 0)
    const bytes = await at.database.handle.db.selectFrom('inline_objects').select('key').execute()
    expect(bytes).toHaveLength(storage === 'inline' ? 1 : 0)

    expect(await booksOf(owner, at)).toEqual(books)
    const ids = books.ledger.map((row) => row.generation_id)
    expect(ids.filter((id) => id === uuidOf(made.id))).toHaveLength(2)
  })
})

test('one that failed, and one made in test mode, can be deleted too', async () => {
  const failing = { prompt: '#sandbox:no_image', mode: 'test' }
  const failed = await app.request('POST', '/v1/generate', { token: user.token, body: failing })
  expect(failed.status).toBe(422)
  const trial = await generate(app, user.token, { mode: 'test' })
  for (const id of [failed.headers['x-generation-id']!, trial.id]) {
    expect((await remove(id)).status).toBe(204)
    expect(await statusOf(id)).toBe(404)
  }
})

test('one that runs is not deletable until it has ended', async () => {
  const { id, running } = await begin()
  const refused = await remove(id)
  expect(refused.status).toBe(409)
  expect(refused.json.error).toMatchObject({ type: 'conflict_error', code: 'not_deletable' })
  open()
  expect((await running).id).toBe(id)
  expect((await remove(id)).status).toBe(204)
})

test('deleted again it is not found, and of many at once one deletes it', async () => {
  const { id } = await generate(app, user.token)
  const answers = await Promise.all(Array.from({ length: 5 }, () => remove(id)))
  expect(answers.map(({ status }) => status).toSorted()).toEqual([204, 404, 404, 404, 404])
  expect((await remove(id)).json.error.code).toBe('not_found')
})

test('tRPC deletes as REST does', async () => {
  const { id } = await generate(app, user.token)
  const call = () => app.request('POST', '/trpc/generations.delete', { ...user, body: { id } })
  expect((await call()).status).toBeLessThan(300)
  expect((await call()).json.error.data.error.code).toBe('not_found')
})

test('an object that the store will not delete is logged, and nobody reaches it', async () => {
  const { id, images } = await generate(app, user.token)
  const { objectStore } = app.service.deps
  const genuine = objectStore.delete
  objectStore.delete = () => Promise.reject(new Error('the store is away'))
  expect((await remove(id)).status).toBe(204)
  objectStore.delete = genuine
  expect(JSON.stringify(app.logs)).toContain('the store is away')
  expect((await get(`/v1/images/${images[0].id}/content`)).status).toBe(404)
})

describe('a repeat with the Idempotency-Key of a deleted generation', () => {
  const headers = { 'idempotency-key': 'deleted' }
  const body = { prompt: 'a banana', model: 'nano-banana-2', size: '512' }
  const make = (token: string, changes: object = {}) =>
    app.request('POST', '/v1/generate', { token, headers, body: { ...body, ...changes } })

  test('is told so, and buys nothing', async () => {
    const { key } = await app.createKey(user, { mode: 'live' })
    const first = await make(key)
    expect((await remove(first.json.id)).status).toBe(204)
    const [before, books] = [calls, await booksOf(user, app)]
    for (let n = 0; n < 2; n++) {
      const { status, json } = await make(key)
      expect(status).toBe(404)
      expect(json.error).toMatchObject({
        code: 'not_found',
        message: 'The generation of this Idempotency-Key was deleted.',
      })
    }
    expect((await make(key, { prompt: 'another' })).status).toBe(422)
    expect(calls).toBe(before)
    expect(await booksOf(user, app)).toEqual(books)
  })

  test('after one that failed for the moment, too', async () => {
    const { key } = await app.createKey(user, { mode: 'test' })
    const failing = { prompt: '#sandbox:unavailable' }
    const first = await make(key, failing)
    expect(first.status).toBe(503)
    expect((await remove(first.headers['x-generation-id']!)).status).toBe(204)
    const before = calls
    expect((await make(key, failing)).status).toBe(404)
    expect(calls).toBe(before)
  })
})

describe('security', () => {
  const plain = ({ status, json }: Awaited<ReturnType<typeof remove>>) => ({
    status,
    error: { ...json.error, request_id: '' },
  })

  test('AUTHZ-1: a foreign generation is as good as missing, and stays', async () => {
    const { id } = await generate(app, user.token)
    const stranger = await app.register()
    const { key } = await app.createKey(stranger, { mode: 'live' })
    const missing = plain(await remove(idOf('gen', newUuid()), stranger.token))
    expect(missing).toMatchObject({ status: 404, error: { code: 'not_found' } })
    for (const token of [stranger.token, key])
      expect(plain(await remove(id, token))).toEqual(missing)
    expect(await statusOf(id)).toBe(200)
  })

  test('a key deletes nothing of the other mode', async () => {
    const trial = await app.createKey(user, { mode: 'test' })
    const live = await app.createKey(user, { mode: 'live' })
    const made = [await generate(app, live.key), await generate(app, trial.key)]
    expect((await remove(made[0].id, trial.key)).status).toBe(404)
    expect((await remove(made[1].id, live.key)).status).toBe(404)
    for (const { id } of made) expect(await statusOf(id)).toBe(200)
  })

  test('a running one of somebody else, or of the other mode, is missing as well', async () => {
    const { id, running } = await begin()
    const trial = await app.createKey(user, { mode: 'test' })
    for (const token of [(await app.register()).token, trial.key])
      expect((await remove(id, token)).status).toBe(404)
    open()
    await running
  })

  test('it takes the scope `generate`: who may only read deletes nothing', async () => {
    const { id } = await generate(app, user.token)
    const { key } = await app.createKey(user, { mode: 'live', scopes: ['read', 'usage'] })
    const refused = await remove(id, key)
    expect(refused.status).toBe(403)
    expect(refused.json.error.code).toBe('insufficient_scope')
    expect((await app.request('DELETE', `/v1/generations/${id}`)).status).toBe(401)
    expect(await statusOf(id)).toBe(200)
  })
})
