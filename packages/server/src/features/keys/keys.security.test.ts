import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { ApiKey } from '@nanobanana/shared'
import { CompiledQuery, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { parseId } from '../../kernel/ids.ts'
import {
  type Account,
  createTestApp,
  type TestApp,
  type TestResponse,
} from '../../../test/harness.ts'
import { digestOf, generateKey } from './key-secret.ts'
import { authenticate } from './keys.service.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

let requests = 0
/** From an address of its own: refused credentials are counted by address. */
const use = (key: string) => {
  requests++
  const ip = `10.${requests >> 16}.${(requests >> 8) & 255}.${requests & 255}`
  return app.request('GET', '/v1/generations', {
    headers: { authorization: `Bearer ${key}`, 'x-forwarded-for': ip },
  })
}
const swapMode = (key: string) =>
  key.startsWith('nb_live_')
    ? key.replace('nb_live_', 'nb_test_')
    : key.replace('nb_test_', 'nb_live_')

/** Runs the work and answers the statements that it sent. */
async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const before = app.database.statements.length
  await work()
  return app.database.statements.slice(before)
}

describe('KEY-1: what is no key never reaches the database', () => {
  const CHARACTERS = 'abcXYZ019_-\'";%\\ \u0000é🍌.'
  const malformed = (n: number): string => {
    const good = generateKey(n % 2 === 0 ? 'live' : 'test')
    const at = n % good.length
    const char = CHARACTERS[(n >> 3) % CHARACTERS.length] ?? '-'
    const kinds = [
      good.slice(0, at),
      `${good}${char}`,
      `${char}${good}`,
      good.toUpperCase(),
      `${good.slice(0, 8)}${'-'.repeat((n % 40) + 1)}`,
      `nb_prod_${good.slice(8)}`,
      `nb_live${good.slice(8)}`,
    ]
    return kinds[n % kinds.length]!
  }

  test('10 000 malformed keys cause no statement', async () => {
    const { deps } = app.service
    const sent = await statementsOf(async () => {
      for (let n = 0; n < 10_000; n++)
        expect(await authenticate(deps, malformed(n))).toBeUndefined()
    })
    expect(sent).toEqual([])
  })

  test('nor through the front door, where all are 401', async () => {
    const texts = Array.from({ length: 200 }, (_, n) => malformed(n)).filter((text) =>
      /^[!-~]*$/.test(text),
    )
    expect(texts.length).toBeGreaterThan(150)
    const sent = await statementsOf(async () => {
      for (const text of texts) expect((await use(text)).status).toBe(401)
    })
    expect(sent).toEqual([])
  })

  test.each(["' OR '1'='1", "nb_live_' OR '1'='1", "nb_live_'||(select(1))||'", 'nb_live_%'])(
    'Bearer %s is 401 without a statement',
    async (text) => {
      const sent = await statementsOf(async () => expect((await use(text)).status).toBe(401))
      expect(sent).toEqual([])
    },
  )

  test('a live key written as a test key is 401, and the other way round', async () => {
    for (const mode of ['live', 'test']) {
      const { key } = await app.createKey(user, { mode })
      expect((await use(key)).status).toBe(200)
      expect((await use(swapMode(key))).status).toBe(401)
    }
  })
})

describe('KEY-2: how keys are kept', () => {
  test('the look-up of a key is one statement, and by index', async () => {
    const { db } = app.database.handle
    const { key } = await app.createKey(user)
    await use(key)
    const [statement, ...more] = (await statementsOf(() => use(key))).filter((text) =>
      text.includes('api_key_secrets'),
    )
    expect(more).toEqual([])
    await sql`insert into api_key_secrets (digest, key_id, pepper_id)
      select sha256(n::text::bytea), (select id from api_keys limit 1), 'none'
      from generate_series(1, 5000) n`.execute(db)
    await sql`analyze`.execute(db)
    const plan = await db.executeQuery<{ 'QUERY PLAN': string }>(
      CompiledQuery.raw(`explain ${statement}`, [
        digestOf(key, app.service.deps.secrets.peppers[0]),
      ]),
    )
    const lines = plan.rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(lines).toMatch(/(Index|Bitmap Index) Scan .*api_key_secrets_pkey/)
    expect(lines).not.toMatch(/Seq Scan on api_key_secrets/)
    await sql`delete from api_key_secrets where pepper_id = 'none'`.execute(db)
  })

  test('the stored digest is no plain hash of the key', async () => {
    const { id, key } = await app.createKey(user)
    const { digest } = await app.database.handle.db
      .selectFrom('api_key_secrets')
      .select('digest')
      .where('key_id', '=', parseId('key', id)!)
      .executeTakeFirstOrThrow()
    const stored = Buffer.from(digest).toString('hex')
    expect(stored).toHaveLength(64)
    for (const text of [key, key.slice(8)])
      expect(stored).not.toBe(createHash('sha256').update(text).digest('hex'))
  })
})

test('KEY-3: a key stands in one answer and nowhere else', async () => {
  const created = await app.request('POST', '/v1/keys', {
    token: user.token,
    headers: { 'idempotency-key': 'the same twice' },
    body: { name: 'canary', mode: 'test' },
  })
  const again = await app.request('POST', '/v1/keys', {
    token: user.token,
    headers: { 'idempotency-key': 'the same twice' },
    body: { name: 'canary', mode: 'test' },
  })
  expect(created.headers['cache-control']).toBe('no-store')
  expect(again.json.key).not.toBe(created.json.key)
  const { id, key } = created.json
  const rotated = await app.request('POST', `/v1/keys/${id}/rotate`, {
    token: user.token,
    body: { grace_seconds: 60 },
  })
  const secrets = [key, again.json.key, rotated.json.key] as string[]
  for (const token of secrets) {
    const made = await app.request('POST', '/v1/generate', { token, body: { prompt: 'a banana' } })
    expect(made.status).toBe(200)
    expect(made.text).not.toContain(token.slice(8))
    await app.request('GET', `/v1/usage?key=${token}`, { token })
    await app.request('GET', '/v1/usage', { headers: { authorization: `Token ${token}` } })
  }
  const list = await app.request('GET', '/v1/keys', { token: user.token })

  const files = await readdir(app.dataDir, { recursive: true })
  const everything = [await dump(), JSON.stringify(app.logs), list.text, files.join('\n')].join()
  for (const secret of secrets) {
    const random = secret.slice(8)
    for (const form of [random, Buffer.from(random).toString('hex'), random.toLowerCase()])
      expect(everything.includes(form)).toBe(false)
    expect(everything).not.toContain(Buffer.from(secret).toString('base64').slice(12, 40))
  }
})

/** Every row of every table as text. */
async function dump(): Promise<string> {
  const { db } = app.database.handle
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = 'public'`.execute(
    db,
  )
  expect(rows.length).toBeGreaterThan(8)
  const texts = await Promise.all(
    rows.map(async ({ name }) => {
      const result = await sql<{
        text: string
      }>`select t::text as text from ${sql.table(name)} t`.execute(db)
      return result.rows.map((row) => row.text).join('\n')
    }),
  )
  return texts.join('\n')
}

test('KEY-4: a listed key has exactly the documented members', async () => {
  const prefix = z.string().regex(/^nb_(live|test)_[0-9A-Za-z]{4}\.\.\.$/)
  const Strict = z.strictObject({ ...ApiKey.shape, prefix })
  const { status, json } = await app.request('GET', '/v1/keys?limit=100', { token: user.token })
  expect(status).toBe(200)
  expect(Object.keys(json).toSorted()).toEqual(['data', 'next_cursor'])
  expect(json.data.length).toBeGreaterThan(3)
  for (const key of json.data) Strict.parse(key)
})

test('KEY-6: every key that does not work is refused byte for byte alike', async () => {
  const refused = async (change: (id: string) => Promise<unknown>) => {
    const { id, key } = await app.createKey(user)
    await change(id)
    return use(key)
  }
  const { db } = app.database.handle
  const patch = (id: string, body: object) =>
    app.request('PATCH', `/v1/keys/${id}`, { token: user.token, body })
  const answers: TestResponse[] = [
    await use('nb_live_malformed'),
    await use(generateKey('live')),
    await use(generateKey('test')),
    await refused((id) => app.request('DELETE', `/v1/keys/${id}`, { token: user.token })),
    await refused((id) => patch(id, { disabled: true })),
    await refused((id) =>
      app.request('POST', `/v1/keys/${id}/rotate`, { token: user.token, body: {} }),
    ),
    await refused((id) =>
      sql`update api_keys set expires_at = now() where id = ${parseId('key', id)}`.execute(db),
    ),
    await use(swapMode((await app.createKey(user)).key)),
  ]
  const [first, ...others] = answers.map(({ status, headers, text, json }) => {
    const { 'x-request-id': id, date: _, ...rest } = headers
    expect(json.error.request_id).toBe(id)
    return { status, headers: rest, text: text.replaceAll(json.error.request_id, 'req') }
  })
  expect(first).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
  expect(JSON.parse(first!.text).error.code).toBe('invalid_api_key')
  for (const other of others) expect(other).toEqual(first)
})

describe('AUTHZ-1: somebody else’s key', () => {
  test.each([
    ['GET', '', undefined],
    ['PATCH', '', { name: 'mine now' }],
    ['DELETE', '', undefined],
    ['POST', '/rotate', {}],
  ])('%s /v1/keys/{id}%s answers as if there were none', async (method, path, body) => {
    const stranger = await app.register()
    const { id, key } = await app.createKey(user)
    const call = (keyId: string) =>
      app.request(method, `/v1/keys/${keyId}${path}`, { token: stranger.token, body })
    const [foreign, missing] = [await call(id), await call('key_01jd5xk3f8e2r9v7m6q4t0w1yz')]
    for (const { status, json } of [foreign, missing]) {
      expect(status).toBe(404)
      expect({ ...json.error, request_id: '' }).toEqual({
        ...missing.json.error,
        request_id: '',
      })
    }
    for (const id of ['x', '%00', 'key_', 'user_01jd5xk3f8e2r9v7m6q4t0w1yz', 'k'.repeat(4000)])
      expect([400, 404]).toContain((await call(id)).status)
    expect((await use(key)).status).toBe(200)
  })

  test('is in nobody else’s list, whatever the cursor', async () => {
    const stranger = await app.register()
    const own = await app.createKey(stranger)
    const { id: newer } = await app.createKey(user)
    const { json } = await app.request('GET', `/v1/keys?cursor=${newer}`, { token: stranger.token })
    expect(json.data.map((one: { id: string }) => one.id)).toEqual([own.id])
  })

  test.each([
    ['GET', '/v1/keys'],
    ['POST', '/v1/keys'],
    ['GET', '/v1/keys/{id}'],
    ['PATCH', '/v1/keys/{id}'],
    ['DELETE', '/v1/keys/{id}'],
    ['POST', '/v1/keys/{id}/rotate'],
  ])('a key cannot call %s %s, not even on itself', async (method, path) => {
    const { id, key } = await app.createKey(user)
    const { status, json } = await app.request(method, path.replace('{id}', id), { token: key })
    expect(status).toBe(403)
    expect(json.error.code).toBe('session_required')
    expect((await app.request(method, path.replace('{id}', id))).status).toBe(401)
    expect((await use(key)).status).toBe(200)
  })
})
