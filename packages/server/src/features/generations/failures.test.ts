import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { newUuid, parseId } from '../../kernel/ids.ts'
import { ProviderError } from '../../ports/image-provider.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'
import {
  type Account,
  createTestApp,
  ENGINE,
  type TestApp,
  type TestResponse,
} from '../../../test/harness.ts'

let app: TestApp
let user: Account
let key: string
beforeAll(async () => {
  app = await createTestApp({ env: { SPOOL_MAX_BYTES: '0' } })
  user = await app.register()
  key = (await app.createKey(user)).key
})
afterAll(() => app[Symbol.asyncDispose]())

const generate = (prompt: string, on = app) =>
  on.request('POST', '/v1/generate', { token: key, body: { prompt } })
const read = async (id: string) =>
  (await app.request('GET', `/v1/generations/${id}`, { token: key })).json
const usageRows = () =>
  app.database.handle.db.selectFrom('usage').select('id').where('kind', '=', 'settle').execute()

/** A failure after the row was committed: it names the generation, which failed and cost nothing. */
async function expectFailed(answer: TestResponse, code: string): Promise<string> {
  const id = String(answer.headers['x-generation-id'])
  expect(id).toMatch(/^gen_/)
  expect(answer.headers['location']).toBe(`/v1/generations/${id}`)
  const { error } = answer.json
  expect(Object.keys(error)).toEqual(['type', 'code', 'message', 'param', 'request_id'])
  expect(error.code).toBe(code)
  expect(await read(id)).toMatchObject({
    id,
    status: 'failed',
    url: null,
    images: [],
    usage: { input_tokens: 0, output_tokens: 0, images: 0, cost_usd: 0 },
    error: { type: error.type, code, message: error.message },
    completed_at: expect.stringMatching(/Z$/),
  })
  const row = await app.database.handle.db
    .selectFrom('generations')
    .select(['lease_expires_at', 'cost_micros'])
    .where('id', '=', parseId('gen', id)!)
    .executeTakeFirstOrThrow()
  expect(row).toEqual({ lease_expires_at: null, cost_micros: 0 })
  const ledger = await app.database.handle.db
    .selectFrom('usage')
    .select(['kind', 'amount_micros'])
    .where('generation_id', '=', parseId('gen', id)!)
    .orderBy('id')
    .execute()
  expect(ledger.map(({ kind }) => kind)).toEqual(['reserve', 'release'])
  expect(ledger[0]!.amount_micros + ledger[1]!.amount_micros).toBe(0)
  return id
}

describe('the sandbox’s scenarios', () => {
  test.each([
    ['content_blocked', 422, 'content_blocked', 'false', undefined],
    ['no_image', 422, 'no_image', 'false', undefined],
    ['rate_limited', 503, 'upstream_rate_limited', 'true', '2'],
    ['unavailable', 503, 'upstream_unavailable', 'true', '5'],
  ])('%s is %i %s', async (scenario, status, code, shouldRetry, retryAfter) => {
    const answer = await generate(`a banana #sandbox:${scenario}`)
    expect(answer.status).toBe(status)
    expect(answer.headers['x-should-retry']).toBe(shouldRetry)
    expect(answer.headers['retry-after']).toBe(retryAfter)
    await expectFailed(answer, code)
  })

  test('over tRPC carries the same error and headers', async () => {
    const answer = await app.request('POST', '/trpc/generate', {
      token: key,
      body: { prompt: 'a banana #sandbox:content_blocked' },
    })
    expect(answer.status).toBe(422)
    expect(answer.headers['x-should-retry']).toBe('false')
    const { error } = answer.json.error.data
    await expectFailed({ ...answer, json: { error } }, 'content_blocked')
  })

  test('slow within the deadline succeeds, beyond it is 503 upstream_timeout', async () => {
    await using hasty = await createTestApp({
      database: app.database.handle,
      env: { UPSTREAM_TIMEOUT: '1', DATA_DIR: app.dataDir },
    })
    const [quick, slow] = await Promise.all([
      generate('a banana #sandbox:slow=0.1', hasty),
      generate('a banana #sandbox:slow=30', hasty),
    ])
    expect(quick.status).toBe(200)
    expect(slow.status).toBe(503)
    expect(Number(slow.headers['retry-after'])).toBeGreaterThan(0)
    await expectFailed(slow, 'upstream_timeout')
  })
})

describe('a provider that breaks its promise', () => {
  const withProvider = (generate: () => Promise<never>) => {
    const spy = vi.spyOn(app.service.deps.providers.test, 'generate').mockImplementation(generate)
    onTestFinished(() => spy.mockRestore())
  }

  test('with an error nobody foresaw is 500 with a fixed text; the cause goes to the log', async () => {
    withProvider(() => Promise.reject(new TypeError('SECRET-CANARY of the provider')))
    const answer = await generate('a banana')
    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('CANARY')
    const id = await expectFailed(answer, 'internal')
    expect(JSON.stringify(await read(id))).not.toContain('CANARY')
    expect(JSON.stringify(app.logs)).toContain('SECRET-CANARY of the provider')
  })

  test('tells the reason of its own error, and keeps the cause for the log', async () => {
    withProvider(() =>
      Promise.reject(
        new ProviderError('upstream_rate_limited', 'Told to the caller.', {
          retryAfterMs: 34_400,
          cause: new Error('CAUSE-CANARY'),
        }),
      ),
    )
    const answer = await generate('a banana')
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('35')
    expect(answer.json.error.message).toBe('Told to the caller.')
    expect(answer.text).not.toContain('CANARY')
    await expectFailed(answer, 'upstream_rate_limited')
    expect(JSON.stringify(app.logs)).toContain('CAUSE-CANARY')
  })

  test('with bytes that are no picture is 424 upstream_invalid', async () => {
    const bytes = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')
    const usage = { inputTokens: 1, textOutputTokens: 0, imageOutputTokens: 1120 }
    withProvider(() => Promise.resolve({ bytes, text: null, usage } as never))
    const answer = await generate('a banana')
    expect(answer.status).toBe(424)
    await expectFailed(answer, 'upstream_invalid')
  })
})

describe('a store that fails while no picture may wait for it', () => {
  test('in keeping the picture is 503: the row failed, nothing is charged', async () => {
    const { objectStore } = app.service.deps
    const put = vi.spyOn(objectStore, 'put')
    onTestFinished(() => put.mockRestore())
    put.mockRejectedValue(new ObjectStoreError('PATH-CANARY /var/lib is full'))
    const before = (await usageRows()).length
    const answer = await generate('a banana')
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('5')
    expect(answer.text).not.toContain('CANARY')
    await expectFailed(answer, 'unavailable')
    expect(await usageRows()).toHaveLength(before)
    put.mockRestore()
    expect((await generate('a banana')).status).toBe(200)
  })

  test('in giving an address is 503 too, and what succeeded stays so', async () => {
    const { objectStore } = app.service.deps
    const url = vi.spyOn(objectStore, 'url')
    onTestFinished(() => url.mockRestore())
    url.mockRejectedValue(new ObjectStoreError('the store is away'))
    const answer = await generate('a banana')
    expect(answer.status).toBe(503)
    expect(answer.json.error.code).toBe('unavailable')
    // ERR-3: it is paid for, so a client must not buy it again.
    expect(answer.headers['x-should-retry']).toBe('false')
    const id = String(answer.headers['x-generation-id'])
    for (const path of [`/v1/generations/${id}`, '/v1/generations'])
      expect((await app.request('GET', path, { token: key })).status).toBe(503)
    url.mockRestore()
    expect(await read(id)).toMatchObject({ status: 'succeeded', images: [{ storage: 'disk' }] })
  })
})

describe('a database that fails at the end', () => {
  test('charges nothing: usage, image and status come together or not at all', async () => {
    const { db } = app.database.handle
    await sql`create function refuse() returns trigger language plpgsql
      as $$ begin raise exception 'SQL-CANARY'; end $$`.execute(db)
    await sql`create trigger refuse before insert on images execute function refuse()`.execute(db)
    const answer = await generate('a banana')
    await sql`drop trigger refuse on images`.execute(db)
    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('CANARY')
    await expectFailed(answer, 'internal')
  })
})

describe('a generation whose process died', () => {
  const strand = async (leaseSeconds: number) => {
    const id = newUuid()
    await sql`insert into generations
        (id, user_id, mode, status, model, prompt, size, n, lease_expires_at)
      values (${id}, ${parseId('user', user.id)}, 'test', 'running', 'gemini-nano-banana-2.1',
        'left behind', '1K', 1, now() + make_interval(secs => ${leaseSeconds}::int))`.execute(
      app.database.handle.db,
    )
    return id
  }
  const statusOf = async (id: string) =>
    (
      await app.database.handle.db
        .selectFrom('generations')
        .select(['status', 'error'])
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
    ).status

  test('is failed at the next start once nobody can be running it', async () => {
    const done = parseId('gen', (await generate('a banana')).json.id)!
    const [past, future] = [await strand(-1), await strand(600)]
    const next = await createTestApp({ database: app.database.handle })
    await next[Symbol.asyncDispose]()
    expect(await statusOf(past)).toBe('failed')
    // Only one process can have an embedded database open, so there the lease decides nothing.
    expect(await statusOf(future)).toBe(ENGINE === 'pglite' ? 'failed' : 'running')
    expect(await statusOf(done)).toBe('succeeded')
    const { error, completed_at } = await app.database.handle.db
      .selectFrom('generations')
      .selectAll()
      .where('id', '=', past)
      .executeTakeFirstOrThrow()
    expect(error).toMatchObject({ type: 'unavailable_error', code: 'unavailable' })
    expect(error?.message).toContain('nothing was charged')
    expect(completed_at).toBeInstanceOf(Date)
  })

  test('that was failed meanwhile is not charged when it does end', async () => {
    const before = (await usageRows()).length
    const { providers, db } = app.service.deps
    const real = providers.test.generate
    const spy = vi.spyOn(providers.test, 'generate')
    onTestFinished(() => spy.mockRestore())
    spy.mockImplementation(async (request) => {
      const result = await real(request)
      await db
        .updateTable('generations')
        .set({ status: 'failed', error: '{"type":"t","code":"c","message":"m"}' })
        .where('status', '=', 'running')
        .where('prompt', '=', request.prompt)
        .execute()
      return result
    })
    const { status, headers } = await generate('ended from outside')
    expect(status).toBe(503)
    expect(await usageRows()).toHaveLength(before)
    expect(await read(String(headers['x-generation-id']))).toMatchObject({
      status: 'failed',
      error: { type: 't', code: 'c', message: 'm' },
      images: [],
    })
  })
})
