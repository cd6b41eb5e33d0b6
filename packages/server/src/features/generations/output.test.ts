import { createHash } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let key: string
/** What the provider sends. */
let picture: Buffer
let calls: number

const drawn = () =>
  sharp({ create: { width: 1024, height: 1024, channels: 4, background: '#f808' } })

beforeAll(async () => {
  const usage = { inputTokens: 1, textOutputTokens: 0, imageOutputTokens: 1120 }
  app = await createTestApp({
    providers: {
      live: {
        async generate() {
          calls++
          return { bytes: picture, text: null, usage }
        },
      },
    },
  })
  key = (await app.createKey(await app.register(), { mode: 'live' })).key
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(() => (calls = 0))

const generate = (body: object) =>
  app.request('POST', '/v1/generate', { token: key, body: { prompt: 'a banana', ...body } })
const bytesOf = async (id: string) =>
  (await app.request('GET', `/v1/images/${id}/content`, { token: key })).bytes

describe('the format of the result', () => {
  test.each(['png', 'jpeg', 'webp'] as const)('is %s when asked for', async (format) => {
    picture = await drawn().png().toBuffer()
    const { status, json } = await generate({ output_format: format })
    expect(status).toBe(200)
    const [image] = json.images
    expect(image).toMatchObject({ mime_type: `image/${format}`, width: 1024, height: 1024 })
    expect(json.requested).toMatchObject({ output_format: format, output_quality: null })
    const bytes = await bytesOf(image.id)
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(image.sha256)
    expect(bytes).toHaveLength(image.bytes)
    expect((await sharp(bytes).metadata()).format).toBe(format)
  })

  test('is the provider’s own bytes when not asked for, or when it is the same', async () => {
    picture = await drawn().flatten().jpeg().toBuffer()
    const sha256 = createHash('sha256').update(picture).digest('hex')
    expect((await generate({})).json.images[0].sha256).toBe(sha256)
    expect((await generate({ output_format: 'jpeg' })).json.images[0].sha256).toBe(sha256)
    expect((await generate({ output_format: 'png' })).json.images[0].sha256).not.toBe(sha256)
  })

  test('has the quality asked for, also where the format stays', async () => {
    const noise = {
      create: { width: 1024, height: 1024, channels: 3, background: '#000' },
    } as const
    const gaussian = { ...noise.create, noise: { type: 'gaussian', mean: 128, sigma: 60 } } as const
    picture = await sharp({ create: gaussian }).jpeg({ quality: 95 }).toBuffer()
    const sizes: number[] = []
    for (const quality of [90, 50, 5]) {
      const { json } = await generate({ output_format: 'jpeg', output_quality: quality })
      expect(json.requested.output_quality).toBe(quality)
      sizes.push(json.images[0].bytes)
    }
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    expect(new Set(sizes).size).toBe(3)
  })

  test('that cannot be made of damaged bytes leaves them as they are, with a warning', async () => {
    const whole = await drawn().png({ compressionLevel: 0 }).toBuffer()
    // Its structure reaches the end, its pixels do not decode.
    picture = Buffer.from(whole)
    picture.fill(0x55, 200, 4000)
    const { status, json } = await generate({ output_format: 'webp' })
    expect(status).toBe(200)
    expect(json.images[0]).toMatchObject({ mime_type: 'image/png', bytes: picture.length })
    expect(json.warnings).toMatchObject([{ code: 'output_format_differs' }])
  })
})

describe('refused, before the provider is asked', () => {
  test.each([
    [{ output_quality: 80 }, 'output_quality'],
    [{ output_format: 'png', output_quality: 80 }, 'output_quality'],
    [{ output_format: 'jpeg', output_quality: 0 }, 'output_quality'],
    [{ output_format: 'jpeg', output_quality: 101 }, 'output_quality'],
    [{ output_format: 'jpeg', output_quality: '80' }, 'output_quality'],
    [{ output_format: 'gif' }, 'output_format'],
    [{ output_format: 'image/png' }, 'output_format'],
    [{ seed: -1 }, 'seed'],
    [{ seed: 2 ** 31 }, 'seed'],
    [{ seed: 1.5 }, 'seed'],
    [{ seed: '1' }, 'seed'],
    [{ thinking_level: 'HIGH' }, 'thinking_level'],
  ])('%j', async (body, param) => {
    const { status, json } = await generate(body)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
    expect(calls).toBe(0)
  })

  test.each([
    ['gemini-3.1-flash-image', 'medium', 'minimal, high'],
    ['gemini-3-pro-image', 'high', 'none'],
  ])('%s thinking %s: it takes %s', async (model, level, allowed) => {
    const { status, json } = await generate({ model, thinking_level: level })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({
      code: 'unsupported_parameter',
      param: 'thinking_level',
      message: `thinking_level: ${model} takes ${allowed}.`,
    })
    expect(calls).toBe(0)
  })
})
