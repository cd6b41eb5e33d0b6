import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Account, TestApp } from '../../../test/harness.ts'
import { createScriptedProvider, type ScriptedProvider } from '../../../test/scripted-provider.ts'
import { createWorld, SMALL } from '../../../test/world.ts'

let app: TestApp
let provider: ScriptedProvider
let alice: Account
let bob: Account
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({ providers: { live: provider } })
  alice = await app.register()
  bob = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

let unused: string
let serial = 0
beforeEach(() => (unused = `test-${++serial}`))

const generate = (token: string, body: object = {}, headers: Record<string, string> = {}) =>
  app.request('POST', '/v1/generate', {
    token,
    headers: { 'idempotency-key': unused, ...headers },
    body: { prompt: 'a banana', ...SMALL, ...body },
  })
const liveKey = (account: Account, input = {}) => app.createKey(account, { mode: 'live', ...input })
const login = async ({ email, password }: Account): Promise<string> =>
  (await app.request('POST', '/v1/auth/login', { body: { email, password } })).json.access_token

describe('AUTHZ-4: one Idempotency-Key', () => {
  test.each<[string, () => Promise<[string, string]>]>([
    ['two accounts', async () => [alice.token, bob.token]],
    ['keys of two accounts', async () => [(await liveKey(alice)).key, (await liveKey(bob)).key]],
    [
      'two keys of an account',
      async () => [(await liveKey(alice)).key, (await liveKey(alice)).key],
    ],
    ['a key and a session of an account', async () => [(await liveKey(alice)).key, alice.token]],
  ])('of %s is two, whatever the bodies', async (_, credentials) => {
    const [one, other] = await credentials()
    const first = await generate(one)
    const second = await generate(other)
    const third = await generate(other, { prompt: 'a melon' })
    expect([first.status, second.status, third.status]).toEqual([200, 200, 422])
    expect(second.json.id).not.toBe(first.json.id)
    expect(second.headers['idempotent-replayed']).toBeUndefined()
  })

  test('of two sessions of an account is one', async () => {
    const first = await generate(alice.token)
    expect((await generate(await login(alice))).json.id).toBe(first.json.id)
  })

  test('of a live and a test key of an account is two', async () => {
    const test = await app.createKey(alice)
    const live = await liveKey(alice)
    const [sandbox, paid] = [await generate(test.key), await generate(live.key)]
    expect([sandbox.json.mode, paid.json.mode]).toEqual(['test', 'live'])
  })
})

describe('KEY-8: the rotation of a key', () => {
  test.each([0, 600])('with %i seconds of grace keeps its repeats', async (grace_seconds) => {
    const { id, key } = await liveKey(alice)
    const first = await generate(key)
    const rotated = await app.request('POST', `/v1/keys/${id}/rotate`, {
      token: alice.token,
      body: { grace_seconds },
    })
    const repeat = await generate(rotated.json.key)
    expect(repeat.json.id).toBe(first.json.id)
    expect(repeat.headers['idempotent-replayed']).toBe('true')
    const old = await generate(key)
    expect(old.status).toBe(grace_seconds === 0 ? 401 : 200)
  })

  test('a revoked key, or one without the scope, gets no repeat', async () => {
    const { id, key } = await liveKey(alice)
    const first = await generate(key)
    await app.request('DELETE', `/v1/keys/${id}`, { token: alice.token })
    const refused = await generate(key)
    expect(refused.status).toBe(401)
    expect(refused.text).not.toContain(first.json.id)
    const reader = await liveKey(alice, { scopes: ['read'] })
    expect((await generate(reader.key)).status).toBe(403)
  })
})

describe('KEY-3: what a record holds', () => {
  const stored = async () =>
    JSON.stringify(
      (await app.database.handle.db.selectFrom('idempotency_keys').selectAll().execute()).map(
        (row) => ({ ...row, fingerprint: Buffer.from(row.fingerprint).toString('latin1') }),
      ),
    )

  test('is neither prompt nor picture nor credential', async () => {
    const canary = 'canary-of-a-prompt'
    const made = await generate(alice.token, { prompt: canary, metadata: { canary } })
    expect(made.status).toBe(200)
    const text = await stored()
    expect(text).toContain(unused)
    for (const secret of ['canary', made.json.url, alice.token, 'banana'])
      expect(text).not.toContain(secret)
  })

  test('is nothing of any other procedure: the header is ignored there', async () => {
    const headers = { 'idempotency-key': unused }
    const body = { name: 'twice', mode: 'test' }
    const create = (path: string) =>
      app.request('POST', path, { token: alice.token, headers, body })
    const [one, other] = [await create('/v1/keys'), await create('/v1/keys')]
    const overTrpc = await create('/trpc/keys.create')
    const secrets = [one.json.key, other.json.key, overTrpc.json.result.data.key]
    expect(new Set(secrets).size).toBe(3)
    for (const answer of [one, other, overTrpc])
      expect(answer.headers['idempotent-replayed']).toBeUndefined()
    // One that generate would refuse.
    headers['idempotency-key'] = 'not a key'
    expect((await create('/v1/keys')).status).toBe(201)
    const listed = await app.request('GET', '/v1/keys', { token: alice.token, headers })
    expect(listed.status).toBe(200)
    const text = await stored()
    expect(text).not.toContain(unused)
    for (const secret of secrets) expect(text).not.toContain(secret)
  })
})
