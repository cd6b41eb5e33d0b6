import { MODELS } from '@nanobanana/shared'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pixelSize } from '../../adapters/image-provider/pixel-sizes.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
let key: string
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
  key = (await app.createKey(user)).key
})
afterAll(() => app[Symbol.asyncDispose]())

const generate = (body: object, token = key, on = app) =>
  on.request('POST', '/v1/generate', { token, body: { prompt: 'a banana', ...body } })
const generationsOf = () => app.database.handle.db.selectFrom('generations').select('id').execute()

/** Sends what must be refused before a row is written. */
async function refuse(body: object, token = key, on = app) {
  const before = (await generationsOf()).length
  const { status, json, headers } = await generate(body, token, on)
  expect(await generationsOf()).toHaveLength(before)
  expect(headers['x-generation-id']).toBeUndefined()
  expect(headers['location']).toBeUndefined()
  return { status, error: json.error, headers }
}

describe('a generation', () => {
  test('has every documented member, measured from the bytes', async () => {
    const { status, json, headers } = await generate({
      prompt: 'a banana on a beach',
      aspect_ratio: '16:9',
      size: '2K',
      metadata: { job: '7', 'größe 🍌': '' },
      user: 'customer-17',
    })
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'x-generation-id': json.id,
      location: `/v1/generations/${json.id}`,
      'cache-control': 'no-store',
    })
    const [image] = json.images
    expect(json).toEqual({
      id: expect.stringMatching(/^gen_[0-7][0-9a-hjkmnp-tv-z]{25}$/),
      object: 'generation',
      status: 'succeeded',
      url: image.url,
      prompt: 'a banana on a beach',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      completed_at: expect.stringMatching(/Z$/),
      model: 'gemini-nano-banana-2.1',
      mode: 'test',
      parent_id: null,
      images: [
        {
          id: expect.stringMatching(/^img_/),
          url: expect.stringMatching(/^http:\/\/nanobanana\.test\/files\/u\/.+\?exp=\d+&sig=/),
          url_expires_at: expect.stringMatching(/Z$/),
          thumbnail_url: `http://nanobanana.test/v1/images/${image.id}/content?width=256`,
          mime_type: 'image/jpeg',
          width: 2752,
          height: 1536,
          bytes: expect.any(Number),
          sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
          storage: 'disk',
          expired: false,
        },
      ],
      text: null,
      requested: {
        aspect_ratio: '16:9',
        size: '2K',
        n: 1,
        input_images: 0,
        output_format: null,
        output_quality: null,
        seed: null,
        thinking_level: null,
      },
      warnings: [],
      usage: { input_tokens: 5, output_tokens: 1680, images: 1, cost_usd: 0 },
      error: null,
      metadata: { job: '7', 'größe 🍌': '' },
      user: 'customer-17',
    })
    expect(Date.parse(json.completed_at)).toBeGreaterThanOrEqual(Date.parse(json.created_at))
    const { pathname, search } = new URL(json.url)
    const { bytes } = await app.request('GET', pathname + search)
    expect(bytes).toHaveLength(image.bytes)
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'jpeg', width: 2752 })
  })

  const CALLS = MODELS.flatMap(({ id, sizes, aspectRatios }) => [
    [id, sizes[0]!, aspectRatios.at(-1)!] as const,
    [id, '1K', '1:1'] as const,
  ])
  test.each(CALLS)('of %s at %s and %s has the model’s pixels', async (model, size, ratio) => {
    const { status, json } = await generate({ model, size, aspect_ratio: ratio })
    expect(status).toBe(200)
    const [width, height] = pixelSize(model, ratio, size)
    expect(json.images).toMatchObject([{ width, height }])
    expect(json).toMatchObject({ model, warnings: [], requested: { size, aspect_ratio: ratio } })
  })

  test('may be named by an alias, and says the model’s own id', async () => {
    for (const { id, aliases } of MODELS)
      for (const alias of aliases)
        expect((await generate({ model: alias })).json).toMatchObject({ model: id })
  })

  test('without model, ratio and size takes the defaults', async () => {
    const { json } = await generate({})
    expect(json).toMatchObject({
      model: 'gemini-nano-banana-2.1',
      requested: { aspect_ratio: null, size: '1K', n: 1 },
    })
    await using other = await createTestApp({
      database: app.database.handle,
      env: { DEFAULT_MODEL: 'nano-banana-pro' },
    })
    expect((await generate({}, key, other)).json.model).toBe('gemini-3-pro-image')
  })

  test('of the same prompt in test mode is the same picture', async () => {
    const [one, same, other] = [
      await generate({ prompt: 'twice' }),
      await generate({ prompt: 'twice' }),
      await generate({ prompt: 'once' }),
    ].map(({ json }) => json)
    expect(same.images[0].sha256).toBe(one.images[0].sha256)
    expect(same.id).not.toBe(one.id)
    expect(other.images[0].sha256).not.toBe(one.images[0].sha256)
  })

  test('over tRPC is the same, headers included', async () => {
    const { status, json, headers } = await app.request('POST', '/trpc/generate', {
      token: key,
      body: { prompt: 'a banana' },
    })
    expect(status).toBe(200)
    expect(json.result.data).toMatchObject({ status: 'succeeded', prompt: 'a banana' })
    expect(headers).toMatchObject({
      'x-generation-id': json.result.data.id,
      location: `/v1/generations/${json.result.data.id}`,
    })
  })
})

describe('modes', () => {
  test('with a token the body may say test; live is the default', async () => {
    const { json } = await generate({ mode: 'test' }, user.token)
    expect(json).toMatchObject({ mode: 'test', status: 'succeeded', usage: { cost_usd: 0 } })
    for (const body of [{}, { mode: 'live' }])
      expect((await refuse(body, user.token)).error.code).toBe('provider_not_configured')
  })

  test('with a key the body must not say one, not even the key’s own', async () => {
    for (const mode of ['test', 'live']) {
      const { status, error } = await refuse({ mode })
      expect(status).toBe(400)
      expect(error).toMatchObject({ code: 'invalid_input', param: 'mode' })
    }
  })

  test('live without a Google key is 503, not to be repeated, and no row', async () => {
    const live = await app.createKey(user, { mode: 'live' })
    const { status, error, headers } = await refuse({}, live.key)
    expect(status).toBe(503)
    expect(error).toMatchObject({ type: 'unavailable_error', code: 'provider_not_configured' })
    expect(error.message).toContain('GEMINI_API_KEY')
    expect(headers['x-should-retry']).toBe('false')
    expect(headers['retry-after']).toBeUndefined()
  })
})

describe('what the model cannot do is refused, never dropped', () => {
  test.each([
    [{ model: 'gemini-3.1-flash-lite-image', size: '2K' }, 'size', '1K'],
    [{ model: 'gemini-2.5-flash-image', size: '512' }, 'size', '1K'],
    [{ model: 'nano-banana', size: '512' }, 'size', '1K, 2K, 4K'],
    [{ model: 'gemini-3-pro-image', aspect_ratio: '4:1' }, 'aspect_ratio', '1:1, 2:3, 3:2'],
  ])('%j', async (body, param, allowed) => {
    const { status, error } = await refuse(body)
    expect(status).toBe(400)
    expect(error).toMatchObject({ code: 'unsupported_parameter', param })
    expect(error.message).toContain(allowed)
    expect(error.message).toContain('gemini-')
  })

  test.each(['banana-9', 'GEMINI-3-PRO-IMAGE', 'gemini-3-pro-image ', '__proto__', 'constructor'])(
    'the model %j is 404 with the names there are',
    async (model) => {
      const { status, error } = await refuse({ model })
      expect(status).toBe(404)
      expect(error).toMatchObject({ code: 'model_not_found', param: 'model' })
      for (const { id } of MODELS) expect(error.message).toContain(id)
    },
  )

  test.each([
    [{ prompt: '' }, 'prompt'],
    [{ prompt: ' \n\t ' }, 'prompt'],
    [{ prompt: undefined }, 'prompt'],
    [{ prompt: 'a\u0007b' }, 'prompt'],
    [{ prompt: 'a\0b' }, 'prompt'],
    [{ prompt: 'half a pair \ud83c' }, 'prompt'],
    [{ prompt: '🍌'.repeat(8193) }, 'prompt'],
    [{ size: '3K' }, 'size'],
    [{ size: 1024 }, 'size'],
    [{ aspect_ratio: '17:9' }, 'aspect_ratio'],
    [{ metadata: { ['n'.repeat(65)]: 'x' } }, `metadata.${'n'.repeat(65)}`],
    [{ metadata: { name: 'v'.repeat(513) } }, 'metadata.name'],
    [{ metadata: { name: 1 } }, 'metadata.name'],
    [{ metadata: Object.fromEntries([...Array(17).keys()].map((n) => [n, ''])) }, 'metadata'],
    [{ user: 'u'.repeat(65) }, 'user'],
    [{ model: '' }, 'model'],
    [{ user_id: 'user_x' }, 'user_id'],
    [{ cost_micros: 0 }, 'cost_micros'],
    [{ status: 'succeeded' }, 'status'],
  ])('%j is invalid input', async (body, param) => {
    const { status, error } = await refuse(body)
    expect(status).toBe(400)
    expect(error).toMatchObject({ code: 'invalid_input', param })
  })

  test('8192 code points are taken, tab and line feed too', async () => {
    expect((await generate({ prompt: '🍌'.repeat(8192) })).status).toBe(200)
    const { json } = await generate({ prompt: 'cafe\u0301\n\tau lait' })
    expect(json.prompt).toBe('caf\u00e9\n\tau lait')
  })
})

describe('security', () => {
  test('a key needs the scope generate, and nobody is let in without a credential', async () => {
    const reader = await app.createKey(user, { scopes: ['read', 'usage'] })
    const { status, error } = await refuse({}, reader.key)
    expect(status).toBe(403)
    expect(error.code).toBe('insufficient_scope')
    expect((await refuse({}, 'nonsense')).status).toBe(401)
  })

  test('a prompt with SQL, markup and quotes is kept as it is', async () => {
    const prompt = `'); drop table generations; -- <script>"\\ %_ {{7*7}} \u202e`
    const { json } = await generate({ prompt, metadata: { a: prompt } })
    const { json: read } = await app.request('GET', `/v1/generations/${json.id}`, { token: key })
    expect(read).toMatchObject({ prompt, metadata: { a: prompt } })
  })

  test('no prompt stands in the log', async () => {
    const prompt = 'a canary that nobody may log 31415'
    await generate({ prompt })
    await generate({ prompt: `${prompt} #sandbox:unavailable` })
    expect(JSON.stringify(app.logs)).not.toContain('31415')
  })
})
