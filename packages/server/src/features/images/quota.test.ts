import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findViolations } from '../../check/check.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { createScriptedProvider, type ScriptedProvider } from '../../../test/scripted-provider.ts'

const QUOTA = 20_000

let app: TestApp
let provider: ScriptedProvider
let user: Account
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createTestApp({
    env: { MAX_STORED_BYTES_PER_ACCOUNT: String(QUOTA) },
    providers: { live: provider },
  })
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(async () => {
  user = await app.register()
})

const generate = (headers: Record<string, string> = {}, { token } = user) =>
  app.request('POST', '/v1/generate', { token, headers, body: { prompt: 'a banana' } })
const remove = (id: string) => app.request('DELETE', `/v1/generations/${id}`, { token: user.token })
const counters = () =>
  app.database.handle.db.selectFrom('stored_bytes').select('bytes').orderBy('user_id').execute()
const storedBytes = async () => (await counters()).at(-1)?.bytes ?? 0
const violations = () => findViolations(app.database.handle.db, app.service.deps.objectStore)

/** Generates until the account has all that it may have; the ids of what it has. */
async function fill(): Promise<string[]> {
  const ids: string[] = []
  while ((await storedBytesOf()) < QUOTA) ids.push((await generate()).json.id)
  return ids
}
const storedBytesOf = async () => {
  const page = await app.request('GET', '/v1/generations?limit=100', { token: user.token })
  const generations = page.json.data as { images: { bytes: number }[] }[]
  return generations.flatMap(({ images }) => images).reduce((sum, { bytes }) => sum + bytes, 0)
}

describe('an account whose storage quota is used up', () => {
  test('is refused before the provider is asked, and others go on', async () => {
    await fill()
    const asked = provider.seen.length
    const refused = await generate()
    expect(refused.status).toBe(429)
    expect(refused.json.error).toMatchObject({ code: 'rate_limited', param: null })
    expect(refused.json.error.message).toContain(`storage quota of ${QUOTA} bytes`)
    expect(refused.headers['x-should-retry']).toBe('false')
    expect(refused.headers['retry-after']).toBeUndefined()
    expect(refused.headers['x-generation-id']).toBeUndefined()
    expect(provider.seen).toHaveLength(asked)
    expect((await generate({}, await app.register())).status).toBe(200)
  })

  test('has room again once it deletes something', async () => {
    const [first = ''] = await fill()
    expect((await generate()).status).toBe(429)
    expect((await remove(first)).status).toBe(204)
    expect((await generate()).status).toBe(200)
  })

  test('is still answered what it made before', async () => {
    const key = { 'idempotency-key': 'before-the-quota' }
    const made = await generate(key)
    await fill()
    const again = await generate(key)
    expect(again.status).toBe(200)
    expect(again.json.id).toBe(made.json.id)
    expect((await generate({ 'idempotency-key': 'another' })).status).toBe(429)
  })
})

describe('the counter of stored bytes', () => {
  test('is exact while generations end and go at the same time', async () => {
    const others = await Promise.all([app.register(), app.register()])
    await Promise.all(
      others.flatMap((other) =>
        Array.from({ length: 6 }, async (_, n) => {
          const made = await generate({}, other)
          if (made.status !== 200 || n % 2 === 0) return
          await app.request('DELETE', `/v1/generations/${made.json.id}`, { token: other.token })
        }),
      ),
    )
    expect((await counters()).length).toBeGreaterThan(2)
    expect(await violations()).toEqual([])
  })

  test('goes with the account', async () => {
    await generate()
    expect(await storedBytes()).toBeGreaterThan(0)
    const before = (await counters()).length
    const { token, password } = user
    const gone = await app.request('POST', '/v1/auth/delete_account', { token, body: { password } })
    expect(gone.status).toBe(204)
    expect(await counters()).toHaveLength(before - 1)
    expect(await violations()).toEqual([])
  })
})

test('without a quota nobody is refused', async () => {
  await using open = await createTestApp({ providers: { live: provider } })
  const somebody = await open.register()
  for (let n = 0; n < 4; n++) {
    const { token } = somebody
    const made = await open.request('POST', '/v1/generate', { token, body: { prompt: 'x' } })
    expect(made.status).toBe(200)
  }
})
