import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { MODELS } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

const GEMINI_API_KEY = 'AIza-canary-of-the-upstream-key-000001'

let emulator: Emulator
let app: TestApp
let user: Account
let key: string
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64, apiKeys: [GEMINI_API_KEY] })
  app = await createTestApp({
    env: { GEMINI_API_KEY, GEMINI_BASE_URL: emulator.url, UPSTREAM_ATTEMPT_TIMEOUT: '15' },
  })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await emulator.close()
})

const generate = (body: object = {}, token = key) =>
  app.request('POST', '/v1/generate', { token, body: { prompt: 'a banana', ...body } })
const read = async (path: string, token: string) => (await app.request('GET', path, { token })).json

/** What the emulator counts beside picture and prompt: the answer's words, and thinking. */
const FLASH_WORDS = 163 + 174

describe('a live generation', () => {
  test('asks for exactly what was asked, and measures what came', async () => {
    emulator.clearRequests()
    const { status, json } = await generate({ aspect_ratio: '16:9', size: '2K' })
    expect(status).toBe(200)
    expect(json).toMatchObject({
      status: 'succeeded',
      mode: 'live',
      text: 'Here is the picture you asked for.',
      warnings: [],
      images: [{ mime_type: 'image/jpeg', width: 2752, height: 1536 }],
    })
    expect(emulator.requests).toHaveLength(1)
    expect(emulator.requests[0]).toMatchObject({
      path: '/v1/models/gemini-nano-banana-2.1:generateContent',
      body: {
        contents: [{ parts: [{ text: 'a banana' }] }],
        generationConfig: { imageConfig: { aspectRatio: '16:9', imageSize: '2K' } },
      },
    })
  })

  // micro-dollars: input at 1.5, words at 7.5, picture at 30 a token; rounded once, half up.
  test.each([
    ['gemini-nano-banana-2.1', '2K', 8 * 1.5 + 1680 * 30 + FLASH_WORDS * 7.5],
    ['gemini-nano-banana-2.1', '1K', 8 * 1.5 + 1120 * 30 + FLASH_WORDS * 7.5],
    ['gemini-3-pro-image', '2K', 8 * 2 + 1120 * 120 + FLASH_WORDS * 12],
    ['gemini-3.1-flash-lite-image', '1K', 8 * 0.25 + 1120 * 30 + FLASH_WORDS * 1.5],
    ['gemini-3.1-flash-image', '512', 8 * 0.5 + 747 * 60 + FLASH_WORDS * 3],
    ['gemini-2.5-flash-image', '1K', 8 * 0.3 + 1290 * 30 + 46 * 2.5],
  ])('of %s at %s costs the tokens the provider counted', async (model, size, micros) => {
    const { json } = await generate({ prompt: 'b'.repeat(32), model, size })
    expect(json.usage).toMatchObject({ input_tokens: 8, images: 1 })
    expect(json.usage.cost_usd).toBe(Math.floor(micros + 0.5) / 1e6)
  })

  test('stands in the usage by day, key and model, and in the sums of the month', async () => {
    const owner = await app.register()
    const [one, other] = [
      await app.createKey(owner, { mode: 'live' }),
      await app.createKey(owner, { mode: 'live' }),
    ]
    const calls = [
      await generate({ size: '2K' }, one.key),
      await generate({ model: 'gemini-2.5-flash-image' }, one.key),
      await generate({}, other.key),
      await generate({}, owner.token),
    ]
    const micros = calls.map(({ json }) => Math.round(json.usage.cost_usd * 1e6))
    const [a, b, c, d] = micros as [number, number, number, number]
    for (const cost of micros) expect(cost).toBeGreaterThan(30_000)

    const today = new Date().toISOString().slice(0, 10)
    const days = await read('/v1/usage', owner.token)
    expect(days.data).toMatchObject([{ day: today, requests: 4, images: 4 }])
    expect(days.total.cost_usd).toBe((a + b + c + d) / 1e6)
    const keys = await read('/v1/usage?group_by=key', owner.token)
    const costs = new Map(
      keys.data.map((row: { key_id: string | null; cost_usd: number }) => [
        row.key_id,
        row.cost_usd,
      ]),
    )
    expect(costs).toEqual(
      new Map([
        [one.id, (a + b) / 1e6],
        [other.id, c / 1e6],
        [null, d / 1e6],
      ]),
    )
    const models = await read('/v1/usage?group_by=model', one.key)
    expect(models.data).toMatchObject([
      { model: 'gemini-nano-banana-2.1', requests: 3, cost_usd: (a + c + d) / 1e6 },
      { model: 'gemini-2.5-flash-image', requests: 1, cost_usd: b / 1e6 },
    ])
    const me = await read('/v1/auth/me', owner.token)
    expect(me.spent_this_month_usd).toBe((a + b + c + d) / 1e6)
    const spent = async (id: string) =>
      (await read(`/v1/keys/${id}`, owner.token)).spent_this_month_usd
    expect(await spent(one.id)).toBe((a + b) / 1e6)
    expect(await spent(other.id)).toBe(c / 1e6)
  })

  test('that comes otherwise than asked carries warnings, and costs what it is', async () => {
    const small = await generate({ prompt: 'x [[ignored-size]]', size: '2K' })
    expect(small.json).toMatchObject({
      status: 'succeeded',
      images: [{ width: 1024, height: 1024 }],
      requested: { size: '2K' },
      warnings: [{ code: 'size_differs' }],
    })
    const square = await generate({ prompt: 'x [[ignored-ratio]]', aspect_ratio: '16:9' })
    expect(square.json.warnings).toMatchObject([{ code: 'aspect_ratio_differs' }])
    const { json: kept } = await app.request('GET', `/v1/generations/${square.json.id}`, {
      token: key,
    })
    expect(kept.warnings).toEqual(square.json.warnings)
  })

  test('takes the media type from the bytes, not from what the provider says', async () => {
    const { json } = await generate({ prompt: 'x [[lying-mime]]' })
    expect(json.images).toMatchObject([{ mime_type: 'image/jpeg' }])
  })

  test('plays no scenario of the sandbox', async () => {
    const { status, json } = await generate({ prompt: 'a banana #sandbox:unavailable' })
    expect(status).toBe(200)
    expect(json.prompt).toBe('a banana #sandbox:unavailable')
  })
})

describe('security', () => {
  test('a test key never reaches the provider', async () => {
    const trial = await app.createKey(user, { mode: 'test' })
    emulator.clearRequests()
    for (const { id } of MODELS)
      expect((await generate({ model: id }, trial.key)).json).toMatchObject({ mode: 'test' })
    expect((await generate({ mode: 'test' }, user.token)).status).toBe(200)
    expect(emulator.requests).toEqual([])
  })

  test('the upstream’s key and words stand in no answer, row or URL', async () => {
    const { text, json, headers } = await generate({ prompt: 'x [[bad-key]]' })
    const id = headers['x-generation-id']
    const seen = [text, JSON.stringify(await read(`/v1/generations/${id}`, key))].join()
    expect(seen).not.toContain('API key not valid')
    expect(seen).not.toContain('canary')
    expect(json.error.message).not.toMatch(/google/i)
    expect(JSON.stringify(app.logs)).not.toContain(GEMINI_API_KEY)
    for (const { path } of emulator.requests) expect(path).not.toContain('key=')
  })
})
