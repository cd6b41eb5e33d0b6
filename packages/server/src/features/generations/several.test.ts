import { MODELS } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { parseId } from '../../kernel/ids.ts'
import { type ImageProvider, type ImageRequest, ProviderError } from '../../ports/image-provider.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'

const MODEL = MODELS[0]!
const USAGE = { inputTokens: 10, textOutputTokens: 100, imageOutputTokens: 1120 }
/** Micro-dollars of `USAGE` at the first model's prices. */
const COST = 10 * 1.5 + 100 * 7.5 + 1120 * 30

let app: TestApp
let user: Account
let key: string
let picture: Uint8Array
/** What the provider does for the i-th image, seen from its seed. */
let play: (request: ImageRequest) => ReturnType<ImageProvider['generate']>

beforeAll(async () => {
  const live: ImageProvider = { generate: (request) => play(request) }
  app = await createTestApp({ providers: { live }, env: { SPOOL_MAX_BYTES: '0' } })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
  const { codec } = app.service.deps
  const rgba = new Uint8Array(64 * 64 * 4).fill(200)
  picture = await codec.encode(
    { rgba, width: 64, height: 64 },
    { mimeType: 'image/jpeg', width: 1024, height: 1024 },
  )
})
afterAll(() => app[Symbol.asyncDispose]())

const made = (text: string | null = null) => ({ bytes: picture, text, usage: USAGE })
const generate = (body: object) =>
  app.request('POST', '/v1/generate', { token: key, body: { prompt: 'a banana', ...body } })
const spent = async () =>
  (await app.request('GET', '/v1/auth/me', { token: user.token })).json.spent_this_month_usd
const rowOf = async (id: string) =>
  app.database.handle.db
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', parseId('gen', id)!)
    .executeTakeFirstOrThrow()

describe('several images', () => {
  test('are made by a call each, and charged together', async () => {
    const seen: ImageRequest[] = []
    play = async (request) => {
      seen.push(request)
      return made(`Words ${seen.length}.`)
    }
    const before = await spent()
    const { status, json } = await generate({ n: 3 })
    expect(status).toBe(200)
    expect(seen).toHaveLength(3)
    expect(json.images).toHaveLength(3)
    expect(new Set(json.images.map(({ id }: { id: string }) => id)).size).toBe(3)
    expect(json).toMatchObject({
      url: json.images[0].url,
      text: 'Words 1.\n\nWords 2.\n\nWords 3.',
      warnings: [],
      requested: { n: 3 },
      usage: { input_tokens: 30, output_tokens: 3660, images: 3, cost_usd: (3 * COST) / 1e6 },
    })
    expect((await spent()) - before).toBeCloseTo((3 * COST) / 1e6, 9)
    const { json: usage } = await app.request('GET', '/v1/usage?group_by=model', { token: key })
    expect(usage.data[0]).toMatchObject({ model: MODEL.id })
    expect((await rowOf(json.id)).upstream_cost_micros).toBe(3 * COST)
  })

  test('run at the same time', async () => {
    let running = 0
    const together = Promise.withResolvers<void>()
    play = async () => {
      if (++running === 4) together.resolve()
      await together.promise
      return made()
    }
    expect((await generate({ n: 4 })).json.images).toHaveLength(4)
  })

  test('use seeds that follow each other, and start over behind the last', async () => {
    const seeds: (number | undefined)[] = []
    play = async ({ seed }) => {
      seeds.push(seed)
      return made()
    }
    const { json } = await generate({ n: 3, seed: 2147483646 })
    expect(seeds).toEqual([2147483646, 2147483647, 0])
    expect(json.requested.seed).toBe(2147483646)
    await generate({})
    expect(seeds.at(-1)).toBeUndefined()
  })

  test.each([0, 5, 1.5, -1, '2', null])('as many as %j are refused', async (n) => {
    const { status, json } = await generate({ n })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param: 'n' })
  })
})

describe('a part of several that fails', () => {
  /** The i-th call, by its seed, fails as told. */
  const failing = (failures: Record<number, ProviderError>) => {
    play = async ({ seed = 0 }) => {
      const failure = failures[seed]
      if (failure !== undefined) throw failure
      return made()
    }
  }

  test('leaves the rest: what came is returned in order, charged, and warned of', async () => {
    const wasted = { inputTokens: 10, textOutputTokens: 20, imageOutputTokens: 0 }
    failing({
      1: new ProviderError('no_image', 'The provider answered without an image.', { wasted }),
      2: new ProviderError('content_blocked', 'The provider refused the request.'),
    })
    const before = await spent()
    const { status, json } = await generate({ n: 4, seed: 0 })
    expect(status).toBe(200)
    expect(json.status).toBe('succeeded')
    expect(json.images).toHaveLength(2)
    expect(json.warnings).toEqual([
      {
        code: 'partial_result',
        message:
          '2 of 4 images were made. no_image: The provider answered without an image. content_blocked: The provider refused the request.',
      },
    ])
    expect(json.usage).toMatchObject({ images: 2, cost_usd: (2 * COST) / 1e6 })
    expect((await spent()) - before).toBeCloseTo((2 * COST) / 1e6, 9)
    const row = await rowOf(json.id)
    expect(row.upstream_cost_micros).toBe(2 * COST + 10 * 1.5 + 20 * 7.5)
    const { json: again } = await app.request('GET', `/v1/generations/${json.id}`, { token: key })
    expect(again.warnings).toEqual(json.warnings)
    expect(again.images.map(({ id }: { id: string }) => id)).toEqual(
      json.images.map(({ id }: { id: string }) => id),
    )
    expect(app.logs).toContainEqual(
      expect.objectContaining({ msg: 'one image of several could not be made', code: 'no_image' }),
    )
  })

  test('leaves nothing when it is all of them: a reason is told, nothing is charged', async () => {
    const wasted = { inputTokens: 0, textOutputTokens: 0, imageOutputTokens: 1120 }
    failing({
      0: new ProviderError('upstream_timeout', 'Too slow.', { retryAfterMs: 7000, wasted }),
      1: new ProviderError('upstream_unavailable', 'Away.'),
    })
    const before = await spent()
    const answer = await generate({ n: 2, seed: 0 })
    expect(answer.status).toBe(503)
    expect(answer.json.error.code).toBe('upstream_timeout')
    expect(answer.headers['retry-after']).toBe('7')
    expect(await spent()).toBe(before)
    const row = await rowOf(String(answer.headers['x-generation-id']))
    expect(row).toMatchObject({ status: 'failed', cost_micros: 0 })
    // A timeout may have been billed to us.
    expect(row.upstream_cost_micros).toBe(1120 * 30)
  })

  test('for good is what is told of several, since a repeat would only buy it again', async () => {
    failing({
      0: new ProviderError('upstream_unavailable', 'Away.'),
      1: new ProviderError('content_blocked', 'Refused.'),
    })
    const { status, json, headers } = await generate({ n: 2, seed: 0 })
    expect(status).toBe(422)
    expect(json.error.code).toBe('content_blocked')
    expect(headers['x-should-retry']).toBe('false')
  })

  test('that nobody foresaw is told as ours, and not to be repeated', async () => {
    play = () => Promise.reject(new TypeError('CANARY'))
    const { status, json, headers, text } = await generate({})
    expect(status).toBe(500)
    expect(json.error.code).toBe('internal')
    expect(headers['x-should-retry']).toBe('false')
    expect(text).not.toContain('CANARY')
    expect(JSON.stringify(app.logs)).toContain('CANARY')
  })

  test('by the store is not charged, yet costs us; alone it must not be bought again', async () => {
    play = async () => made()
    const { objectStore } = app.service.deps
    const put = vi.spyOn(objectStore, 'put')
    onTestFinished(() => put.mockRestore())
    put.mockRejectedValueOnce(new ObjectStoreError('full'))
    const { json } = await generate({ n: 2 })
    expect(json.images).toHaveLength(1)
    expect(json.warnings[0].message).toContain('1 of 2 images were made. unavailable:')
    expect(json.usage.cost_usd).toBe(COST / 1e6)
    expect((await rowOf(json.id)).upstream_cost_micros).toBe(2 * COST)

    put.mockRejectedValueOnce(new ObjectStoreError('full'))
    play = async ({ seed }) => {
      if (seed === 0) throw new ProviderError('upstream_unavailable', 'Away.')
      return made()
    }
    const none = await generate({ n: 2, seed: 0 })
    expect(none.status).toBe(503)
    expect(none.json.error.code).toBe('unavailable')
    expect(none.headers['x-should-retry']).toBe('false')
  })
})
