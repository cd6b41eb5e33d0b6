import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { generate } from '../generations/generate.service.ts'
import * as keys from '../keys/keys.service.ts'

let app: TestApp
/** While set, the provider waits for it before it answers. */
let gate: Promise<void> | undefined
let calls = 0
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
  const { test: sandbox } = app.service.deps.providers
  const answer = await sandbox.generate({
    model: app.service.deps.catalogue.models[0]!,
    prompt: 'a banana',
    size: '1K',
    signal: AbortSignal.timeout(20_000),
  })
  await app[Symbol.asyncDispose]()
  const gated: ImageProvider = {
    async generate() {
      calls++
      await gate
      return answer
    },
  }
  app = await createTestApp({
    env: { TRUST_PROXY: '127.0.0.1' },
    providers: { test: gated, live: gated },
  })
})
afterAll(() => app[Symbol.asyncDispose]())

let requests = 0
const from = () => ({ 'x-forwarded-for': `10.0.${++requests}.1` })
const remove = (user: Account, password = user.password) =>
  app.request('POST', '/v1/auth/delete_account', {
    token: user.token,
    headers: from(),
    body: { password },
  })
const make = (token: string, body: object = {}) =>
  app.request('POST', '/v1/generate', {
    token,
    headers: from(),
    body: { prompt: 'a banana', ...body },
  })
const uuid = (user: Account) => parseId('user', user.id)!

/** Names of the user's files in the store. */
async function filesOf(user: Account): Promise<string[]> {
  const folder = join(app.dataDir, 'files', 'u', uuid(user))
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

const countOf = async (table: 'generations' | 'images' | 'api_keys', user: Account) =>
  (
    await app.database.handle.db
      .selectFrom(table)
      .select('id')
      .where('user_id', '=', uuid(user))
      .execute()
  ).length

/** Kinds of the account's rows in the ledger, and what they come to. */
async function ledgerOf(user: Account) {
  const rows = await app.database.handle.db
    .selectFrom('usage')
    .select(['kind', 'amount_micros'])
    .where('user_id', '=', uuid(user))
    .orderBy('id')
    .execute()
  const charged = rows.filter(({ kind }) => kind === 'settle').length
  return { charged, sum: rows.reduce((sum, { amount_micros }) => sum + amount_micros, 0) }
}

async function expectNothingLeft(user: Account): Promise<void> {
  await app.service.deps.background.drain()
  for (const table of ['generations', 'images', 'api_keys'] as const)
    expect(await countOf(table, user), table).toBe(0)
  expect(await filesOf(user)).toEqual([])
}

describe('delete_account', () => {
  test('removes keys, generations, images and objects; usage rows stay', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user, { mode: 'live' })
    const made = [await make(key), await make(user.token), await make(user.token, { mode: 'test' })]
    const paths = made.map(({ json }) => new URL(json.url))
    expect(await filesOf(user)).toHaveLength(3)

    const { status, text } = await remove(user)
    expect({ status, text }).toEqual({ status: 204, text: '' })
    await expectNothingLeft(user)
    expect((await ledgerOf(user)).charged).toBe(3)
    for (const { pathname, search } of paths)
      expect((await app.request('GET', pathname + search)).status).toBe(404)
  })

  test('leaves a tombstone without address, name or hash', async () => {
    const user = await app.register()
    await remove(user)
    const row = await app.database.handle.db
      .selectFrom('users')
      .selectAll()
      .where('id', '=', uuid(user))
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({
      email: null,
      email_display: null,
      password_hash: null,
      name: null,
      deleted_at: expect.any(Date),
    })
  })

  test('KEY-9: every token and key is dead on the next request', async () => {
    const user = await app.register()
    const { email, password } = user
    const other = await app.request('POST', '/v1/auth/login', { body: { email, password } })
    const { key } = await app.createKey(user)
    await remove(user)
    for (const token of [user.token, other.json.access_token, key]) {
      const answer = await app.request('GET', '/v1/usage', { token, headers: from() })
      expect(answer.status).toBe(401)
    }
    const again = await app.request('POST', '/v1/auth/login', { body: { email, password } })
    expect(again.status).toBe(401)
  })

  test('frees the address for somebody else, who sees nothing of the old account', async () => {
    const user = await app.register()
    await make(user.token)
    await remove(user)
    const body = { email: user.email, password: user.password }
    const registered = await app.request('POST', '/v1/auth/register', { body })
    expect(registered.status).toBe(201)
    expect(registered.json.id).not.toBe(user.id)
    const login = await app.request('POST', '/v1/auth/login', { body })
    const token = login.json.access_token
    for (const path of ['/v1/generations', '/v1/keys', '/v1/usage'])
      expect((await app.request('GET', path, { token })).json.data).toEqual([])
    expect((await app.request('GET', '/v1/auth/me', { token })).json.spent_this_month_usd).toBe(0)
  })

  test('touches nobody else', async () => {
    const [user, neighbour] = [await app.register(), await app.register()]
    const { key } = await app.createKey(neighbour, { mode: 'live' })
    const { json } = await make(key)
    await remove(user)
    const { status } = await app.request('GET', `/v1/generations/${json.id}`, { token: key })
    expect(status).toBe(200)
    expect(await filesOf(neighbour)).toHaveLength(1)
  })

  test('is refused with a wrong password, and removes nothing', async () => {
    const user = await app.register()
    await make(user.token)
    const { status, json } = await remove(user, 'wrong password')
    expect(status).toBe(401)
    expect(json.error).toMatchObject({ code: 'invalid_credentials', param: 'password' })
    expect(await filesOf(user)).toHaveLength(1)
    expect((await remove(user)).status).toBe(204)
  })

  test('needs a session: a key deletes no account', async () => {
    const user = await app.register()
    const { key } = await app.createKey(user)
    const { json } = await remove({ ...user, token: key })
    expect(json.error.code).toBe('session_required')
    expect((await remove({ ...user, token: 'x' })).json.error.code).toBe('invalid_token')
  })

  test('an object the store will not delete is logged, and the account is gone all the same', async () => {
    const user = await app.register()
    await make(user.token)
    const { objectStore } = app.service.deps
    const genuine = objectStore.delete
    objectStore.delete = () => Promise.reject(new Error('the store is away'))
    expect((await remove(user)).status).toBe(204)
    await app.service.deps.background.drain()
    objectStore.delete = genuine
    expect(await countOf('generations', user)).toBe(0)
    expect(JSON.stringify(app.logs)).toContain('the store is away')
  })
})

describe('a generation that meets the deletion leaves nothing behind', () => {
  test.each(['a token', 'a key'])('when it runs, begun by %s', async (by) => {
    const user = await app.register()
    const { key } = await app.createKey(user, { mode: 'live' })
    const open = Promise.withResolvers<void>()
    gate = open.promise
    const before = calls
    const running = make(by === 'a key' ? key : user.token)
    await expect.poll(() => calls).toBe(before + 1)
    expect((await remove(user)).status).toBe(204)
    open.resolve()
    const { status, json } = await running
    gate = undefined
    expect(status).toBe(503)
    expect(json.error.code).toBe('unavailable')
    await expectNothingLeft(user)
    expect(await ledgerOf(user)).toEqual({ charged: 0, sum: 0 })
  })

  test('when its request was let in just before', async () => {
    const user = await app.register()
    const { id } = await app.createKey(user, { mode: 'live' })
    await remove(user)
    const { deps } = app.service
    const ends = { jti: crypto.randomUUID(), tokenVersion: 1, expiresAt: new Date() }
    const session = { kind: 'session' as const, userId: uuid(user), ...ends }
    const keyId = parseId('key', id)!
    const limits = { requestsPerMinute: null, maxConcurrency: null }
    const byKey = { kind: 'key' as const, mode: 'live' as const, scopes: [], keyId, ...limits }
    const before = calls
    const begin = (principal: Parameters<typeof generate>[1]) =>
      generate(
        deps,
        principal,
        { prompt: 'a banana' },
        {
          idempotencyKey: undefined,
          asked: { procedure: 'generate', input: {} },
          delivery: { kind: 'wait', ms: undefined },
          onCommitted: () => {},
          onReplayed: () => {},
        },
      )
    await expect(begin(session)).rejects.toMatchObject({ code: 'invalid_token' })
    await expect(begin({ ...byKey, userId: uuid(user) })).rejects.toMatchObject({
      code: 'invalid_api_key',
    })
    expect(calls).toBe(before)
    await expect(
      keys.create(deps, session, { name: 'late', mode: 'live', scopes: ['read'] }),
    ).rejects.toMatchObject({ code: 'invalid_token' })
    await expectNothingLeft(user)
  })

  test('when many end at the very time of the deletion', async () => {
    for (let round = 0; round < 6; round++) {
      const user = await app.register()
      const { key } = await app.createKey(user, { mode: 'live' })
      const open = Promise.withResolvers<void>()
      gate = open.promise
      const before = calls
      const running = Array.from({ length: 8 }, (_, n) => make(n % 2 === 0 ? key : user.token))
      await expect.poll(() => calls).toBe(before + 8)
      const late = () => make(key)
      open.resolve()
      const answers = await Promise.all([remove(user), ...running, late(), late()])
      gate = undefined
      expect(answers[0]?.status).toBe(204)
      for (const { status } of answers.slice(1)) expect([200, 401, 503]).toContain(status)
      const paid = answers.slice(1).filter(({ status }) => status === 200).length
      await expectNothingLeft(user)
      expect((await ledgerOf(user)).charged).toBe(paid)
    }
  })
})
