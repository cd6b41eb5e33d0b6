import { createHash, randomBytes } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { missingId } from '../../../test/world.ts'
import { parseId } from '../../kernel/ids.ts'
import type { ImageRequest } from '../../ports/image-provider.ts'

const MAX_UPLOAD_BYTES = 40_000
const SMALL = { model: 'nano-banana-2', size: '512' }

let app: TestApp
let user: Account
let key: string
let seen: ImageRequest[]
let picture: Uint8Array

const solid = (color: string, width = 32) =>
  sharp({ create: { width, height: 24, channels: 3, background: color } })

beforeAll(async () => {
  picture = await solid('gold', 512).jpeg().toBuffer()
  app = await createTestApp({
    env: { MAX_UPLOAD_BYTES: String(MAX_UPLOAD_BYTES) },
    providers: {
      live: {
        async generate(request) {
          seen.push(request)
          const usage = { inputTokens: 1, textOutputTokens: 0, imageOutputTokens: 747 }
          return { bytes: picture, text: null, usage }
        },
      },
    },
  })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(() => (seen = []))

const generate = (images: unknown, body: object = {}, token = key) =>
  app.request('POST', '/v1/generate', {
    token,
    body: { prompt: 'a banana', ...SMALL, images, ...body },
  })
const repeated = (times: number, entry: object) => Array.from({ length: times }, () => entry)
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const colorOf = async (bytes: Uint8Array) => {
  const { data } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return [...data.subarray(0, 3)].map((value) => Math.round(value / 255))
}
const generations = async () =>
  (await app.database.handle.db.selectFrom('generations').select('id').execute()).length

describe('images that come with a request', () => {
  test('reach the provider in their order, encoded anew, and are counted', async () => {
    const [red, green, blue] = await Promise.all([
      solid('#f00').png().toBuffer(),
      solid('#0f0').jpeg().toBuffer(),
      solid('#00f').webp().toBuffer(),
    ])
    const { status, json } = await generate([
      { data: base64(red) },
      { data: `data:image/jpeg;base64,${base64(green)}` },
      { data: base64(blue), mime_type: 'image/webp' },
    ])
    expect(status).toBe(200)
    expect(json.requested.input_images).toBe(3)
    expect(json.parent_id).toBeNull()
    const images = seen[0]?.images ?? []
    expect(images.map(({ mimeType }) => mimeType)).toEqual([
      'image/png',
      'image/jpeg',
      'image/webp',
    ])
    const colors = await Promise.all(images.map(({ bytes }) => colorOf(bytes)))
    expect(colors).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
  })

  test('serve all of several calls, prepared once', async () => {
    const { codec } = app.service.deps
    const sanitize = vi.spyOn(codec, 'sanitize')
    onTestFinished(() => sanitize.mockRestore())
    const { json } = await generate([{ data: base64(await solid('red').png().toBuffer()) }], {
      n: 3,
    })
    expect(json.images).toHaveLength(3)
    expect(sanitize).toHaveBeenCalledTimes(1)
    expect(seen.map(({ images }) => images?.[0]?.bytes)).toEqual(
      Array(3).fill(seen[0]?.images?.[0]?.bytes),
    )
  })

  test('lose what was hidden in the file', async () => {
    const exif = { IFD0: { Copyright: 'SECRET-CANARY' }, IFD3: { GPSLatitudeRef: 'N' } }
    const tagged = await solid('red').withExif(exif).jpeg().toBuffer()
    expect(tagged.includes('SECRET-CANARY')).toBe(true)
    const polyglot = Buffer.concat([
      tagged,
      Buffer.from('PK\x03\x04<script>SECRET-CANARY</script>'),
    ])
    expect((await generate([{ data: base64(polyglot) }])).status).toBe(200)
    const sent = Buffer.from(seen[0]!.images![0]!.bytes)
    expect(sent.includes('CANARY')).toBe(false)
    expect((await sharp(sent).metadata()).exif).toBeUndefined()
  })

  test('play in test mode by the same rules', async () => {
    const trial = await app.createKey(user, { mode: 'test' })
    const red = { data: base64(await solid('red').png().toBuffer()) }
    const { status, json } = await generate([red], {}, trial.key)
    expect(status).toBe(200)
    expect(json.requested.input_images).toBe(1)
    expect((await generate([{ data: 'AAAA' }], {}, trial.key)).status).toBe(400)
    expect(seen).toEqual([])
  })
})

describe('a reference to an earlier generation', () => {
  test('sends its picture as it is, and becomes the parent', async () => {
    const first = (await generate(undefined, { n: 2 })).json
    const { status, json } = await generate([{ generation_id: first.id }])
    expect(status).toBe(200)
    expect(json.parent_id).toBe(first.id)
    const [sent] = seen.at(-1)!.images!
    expect(createHash('sha256').update(sent!.bytes).digest('hex')).toBe(first.images[0].sha256)
    expect(sent!.mimeType).toBe('image/jpeg')
    const { json: kept } = await app.request('GET', `/v1/generations/${json.id}`, { token: key })
    expect(kept.parent_id).toBe(first.id)
  })

  test('may name one of several images; the first reference is the parent', async () => {
    const png = (await generate(undefined, { output_format: 'png' })).json
    const two = (await generate(undefined, { n: 2, output_format: 'webp' })).json
    const upload = { data: base64(await solid('red').jpeg().toBuffer()) }
    const { json } = await generate([
      upload,
      { generation_id: two.id, image_id: two.images[1].id },
      { generation_id: png.id },
    ])
    expect(json.parent_id).toBe(two.id)
    expect(seen.at(-1)!.images!.map(({ mimeType }) => mimeType)).toEqual([
      'image/jpeg',
      'image/webp',
      'image/png',
    ])
  })

  test('to a picture that is larger than the provider takes is made smaller', async () => {
    const noise = randomBytes(1800 * 1400 * 3)
    const raw = { width: 1800, height: 1400, channels: 3 } as const
    const big = await sharp(noise, { raw }).png({ compressionLevel: 0 }).toBuffer()
    expect(big.length).toBeGreaterThan(7e6)
    const before = picture
    picture = big
    const first = (await generate(undefined)).json
    picture = before
    expect((await generate([{ generation_id: first.id }])).status).toBe(200)
    const [sent] = seen.at(-1)!.images!
    expect(sent!.bytes.length).toBeLessThan(7e6)
    expect(await sharp(sent!.bytes).metadata()).toMatchObject({ width: 1800, height: 1400 })
  })

  test('to an image that has expired, or that is of another generation, is not found', async () => {
    const inline = await createTestApp({
      database: app.database.handle,
      env: { STORAGE: 'inline' },
    })
    onTestFinished(() => inline[Symbol.asyncDispose]())
    const trial = (await app.createKey(user, { mode: 'test' })).key
    const body = { prompt: 'a banana', ...SMALL }
    const send = (images?: object[]) =>
      inline.request('POST', '/v1/generate', { token: trial, body: { ...body, images } })
    const [one, other] = [(await send()).json, (await send()).json]
    const mixed = await send([{ generation_id: one.id, image_id: other.images[0].id }])
    expect(mixed.status).toBe(404)
    expect(mixed.json.error).toMatchObject({ code: 'not_found', param: 'images.0.image_id' })
    await app.database.handle.db
      .updateTable('images')
      .set({ expires_at: new Date(0) })
      .where('id', '=', parseId('img', one.images[0].id)!)
      .execute()
    const expired = await send([{ generation_id: one.id }])
    expect(expired.status).toBe(404)
    expect(expired.json.error).toMatchObject({
      param: 'images.0.generation_id',
      message: 'images.0.generation_id: The image has expired.',
    })
  })
})

describe('images that are refused, before anything is written or spent', () => {
  const png = async () => base64(await solid('red').png().toBuffer())
  const cases: [name: string, images: () => Promise<unknown>, status: number, error: object][] = [
    ['no array', async () => 'x', 400, { code: 'invalid_input', param: 'images' }],
    ['an empty entry', async () => [{}], 400, { code: 'invalid_input', param: 'images.0.data' }],
    [
      'text that is no base64',
      async () => [{ data: 'no base64!' }],
      400,
      { code: 'invalid_image', param: 'images.0.data' },
    ],
    [
      'no bytes',
      async () => [{ data: 'data:image/png;base64,' }],
      400,
      { code: 'invalid_image', param: 'images.0.data' },
    ],
    [
      'bytes that are no picture',
      async () => [{ data: base64(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')) }],
      400,
      { code: 'invalid_image', param: 'images.0' },
    ],
    [
      'a picture cut short, as the second',
      async () => {
        const whole = await solid('red').jpeg().toBuffer()
        return [{ data: await png() }, { data: base64(whole.subarray(0, 200)) }]
      },
      400,
      { code: 'invalid_image', param: 'images.1' },
    ],
    [
      'a field that says another type',
      async () => [{ data: await png(), mime_type: 'image/webp' }],
      400,
      { code: 'invalid_image', param: 'images.0' },
    ],
    [
      'a data URL that says another type',
      async () => [{ data: `data:image/gif;base64,${await png()}` }],
      400,
      { code: 'invalid_image', param: 'images.0' },
    ],
    [
      'an address as an entry',
      async () => ['https://example.com/a.png'],
      400,
      { code: 'image_url_not_supported', param: 'images.0' },
    ],
    [
      'an address in place of bytes',
      async () => [{ data: await png() }, { data: 'http://169.254.169.254/' }],
      400,
      { code: 'image_url_not_supported', param: 'images.1' },
    ],
    [
      'an address by the name that others use',
      async () => [{ image_url: 'HTTPS://example.com' }],
      400,
      { code: 'image_url_not_supported', param: 'images.0' },
    ],
    [
      'a field we do not know',
      async () => [{ data: await png(), name: 'x' }],
      400,
      { code: 'invalid_input', param: 'images.0.name' },
    ],
    [
      'both bytes and a reference',
      async () => [{ data: await png(), generation_id: missingId('gen') }],
      400,
      { code: 'invalid_input', param: 'images.0.generation_id' },
    ],
    [
      'more than any model takes',
      async () => repeated(15, { data: await png() }),
      400,
      { code: 'invalid_input', param: 'images' },
    ],
    [
      'more bytes than the operator allows',
      async () => [
        { data: base64(randomBytes(MAX_UPLOAD_BYTES / 2)) },
        { data: base64(randomBytes(MAX_UPLOAD_BYTES / 2 + 1)) },
      ],
      413,
      { code: 'payload_too_large' },
    ],
    [
      'a generation that is not there',
      async () => [{ generation_id: missingId('gen') }],
      404,
      { code: 'not_found', param: 'images.0.generation_id' },
    ],
    [
      'an id that is none',
      async () => [{ generation_id: 'gen_1' }],
      400,
      { code: 'invalid_input', param: 'images.0.generation_id' },
    ],
  ]
  test.each(cases)('%s', async (_name, images, status, error) => {
    const before = await generations()
    const answer = await generate(await images())
    expect(answer.json.error).toMatchObject(error)
    expect(answer.status).toBe(status)
    expect(await generations()).toBe(before)
    expect(seen).toEqual([])
  })

  test('more than the model takes: the model and its number are named', async () => {
    const images = repeated(4, { data: await png() })
    const { status, json } = await generate(images, { model: 'gemini-2.5-flash-image', size: '1K' })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({
      code: 'unsupported_parameter',
      param: 'images',
      message: 'images: gemini-2.5-flash-image takes 3 at most.',
    })
  })
})

describe('the room for images', () => {
  test('is taken while they are needed, and given back however it ends', async () => {
    const { room } = app.service.deps
    const all = 256 * 2 ** 20
    const first = (await generate(undefined)).json
    const images = [{ generation_id: first.id }]
    const isFree = () => {
      const free = room.take(all)
      if (free) room.give(all)
      return free
    }
    expect((await generate(images)).status).toBe(200)
    expect((await generate([...images, { data: 'AAAA' }])).status).toBe(400)
    expect(isFree()).toBe(true)

    room.take(all - 100)
    const refused = await generate(images)
    room.give(all - 100)
    expect(refused.status).toBe(503)
    expect(refused.json.error.code).toBe('overloaded')
    expect(refused.headers['retry-after']).toBe('2')
    expect(isFree()).toBe(true)
  })
})

describe('security', () => {
  test('nobody refers to a generation of another account, or of another mode', async () => {
    const stranger = await app.register()
    const theirs = (await app.createKey(stranger, { mode: 'live' })).key
    const own = (await generate(undefined)).json
    const foreign = await generate([{ generation_id: own.id }], {}, theirs)
    const missing = await generate([{ generation_id: missingId('gen') }], {}, theirs)
    expect(foreign.status).toBe(404)
    const { request_id: one, ...error } = foreign.json.error
    const { request_id: other, ...same } = missing.json.error
    expect(error).toEqual(same)
    expect(one).not.toBe(other)
    const trial = (await app.createKey(user, { mode: 'test' })).key
    expect((await generate([{ generation_id: own.id }], {}, trial)).status).toBe(404)
    const mine = (await generate(undefined)).json
    const swapped = [{ generation_id: mine.id, image_id: own.images[0].id }]
    expect((await generate(swapped)).status).toBe(404)
  })
})
