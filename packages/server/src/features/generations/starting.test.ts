import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { TestApp } from '../../../test/harness.ts'
import { createScriptedProvider, type ScriptedProvider } from '../../../test/scripted-provider.ts'
import { createWorld, SMALL } from '../../../test/world.ts'
import { parseId } from '../../kernel/ids.ts'
import { ProviderError } from '../../ports/image-provider.ts'

let app: TestApp
let provider: ScriptedProvider
let userId: string
let key: string
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({ providers: { live: provider }, env: { WORKERS: '0' } })
  const user = await app.register()
  userId = parseId('user', user.id)!
  key = (await app.createKey(user, { mode: 'live', monthly_limit_usd: 100 })).key
})
afterAll(() => app[Symbol.asyncDispose]())
afterEach(() => vi.restoreAllMocks())

const db = () => app.database.handle.db
const generate = (idempotencyKey: string) =>
  app.request('POST', '/v1/generate', {
    token: key,
    headers: { 'idempotency-key': idempotencyKey },
    body: { prompt: 'a banana', ...SMALL },
  })
const spentMicros = async () =>
  (await db().selectFrom('spending').select('micros').where('owner_id', '=', userId).execute())[0]
    ?.micros ?? 0

/** Cuts the connection at the transaction that begins a generation. */
function cutAtTheStart(when: 'before' | 'after'): void {
  const real = db().transaction.bind(db())
  vi.spyOn(db(), 'transaction').mockImplementationOnce(() => {
    const builder = real()
    const execute = builder.execute.bind(builder)
    builder.execute = async (work) => {
      if (when === 'after') await execute(work)
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    }
    return builder
  })
}

describe('a connection that is cut at the commit that begins a generation', () => {
  test('after it took effect: the generation goes on', async () => {
    cutAtTheStart('after')
    const calls = provider.seen.length
    const made = await generate('cut-after')
    expect(made.status).toBe(200)
    expect(made.headers['x-generation-id']).toBe(made.json.id)
    expect(provider.seen).toHaveLength(calls + 1)
    const kinds = await db()
      .selectFrom('usage')
      .select('kind')
      .where('generation_id', '=', parseId('gen', made.json.id)!)
      .orderBy('id')
      .execute()
    expect(kinds).toEqual([{ kind: 'reserve' }, { kind: 'settle' }])
    expect((await generate('cut-after')).headers['idempotent-replayed']).toBe('true')
  })

  test('after that of a further attempt took effect: the attempt goes on', async () => {
    provider.play(new ProviderError('upstream_unavailable', 'Not now.'))
    const first = await generate('cut-again')
    expect(first.status).toBe(503)
    cutAtTheStart('after')
    const second = await generate('cut-again')
    expect(second.status).toBe(200)
    expect(second.json.id).toBe(first.headers['x-generation-id'])
  })

  test('before it took effect: 503, nothing is set aside, and the key is free', async () => {
    cutAtTheStart('before')
    const before = await spentMicros()
    const calls = provider.seen.length
    const failed = await generate('cut-before')
    expect(failed.status).toBe(503)
    expect(failed.json.error.code).toBe('unavailable')
    expect(failed.headers['x-should-retry']).toBe('true')
    expect(failed.headers['x-generation-id']).toBeUndefined()
    expect(provider.seen).toHaveLength(calls)
    expect(await spentMicros()).toBe(before)
    const anew = await generate('cut-before')
    expect(anew.status).toBe(200)
    expect(anew.headers['idempotent-replayed']).toBeUndefined()
  })

  test.each(['before', 'after'] as const)('%s: no lease is left over', async (when) => {
    cutAtTheStart(when)
    await generate(`lease-${when}`)
    expect([...app.service.deps.leases.held]).toEqual([])
  })
})

/** One engine tells of these, and rate limits may count in the database. */
const BESIDE = /^(begin|commit)|rate_limits|pgboss/

test('a generation takes 22 statements, a repeat four', async () => {
  await generate('warm-up')
  const { statements } = app.database
  const count = async () => {
    const before = statements.length
    expect((await generate('counted')).status).toBe(200)
    return statements.slice(before).filter((text) => !BESIDE.test(text)).length
  }
  expect(await count()).toBe(22)
  expect(await count()).toBe(4)
})
