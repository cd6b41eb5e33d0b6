import { createHash, randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { MODELS } from '@nanobanana/shared'
import sharp from 'sharp'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { EncodedImage } from '../../ports/image-codec.ts'
import type { ImageProvider, ImageRequest } from '../../ports/image-provider.ts'
import { createGeminiProvider } from './gemini.ts'

let emulator: Emulator
let provider: ImageProvider
let images: readonly EncodedImage[]
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64 })
  provider = createGeminiProvider({
    apiKey: 'x',
    baseUrl: emulator.url,
    attemptTimeoutMs: 10_000,
  })
  const noise = sharp(randomBytes(200 * 300 * 3), { raw: { width: 200, height: 300, channels: 3 } })
  images = [
    { mimeType: 'image/png', bytes: await noise.clone().png().toBuffer() },
    { mimeType: 'image/webp', bytes: await noise.clone().webp().toBuffer() },
    { mimeType: 'image/jpeg', bytes: await noise.clone().jpeg().toBuffer() },
  ]
})
beforeEach(() => emulator.clearRequests())
afterAll(() => emulator.close())

const modelOf = (id: string) => MODELS.find((model) => model.id === id)!

const generate = (changes: Partial<ImageRequest> = {}) =>
  provider.generate({
    model: modelOf('gemini-nano-banana-2.1'),
    prompt: 'a banana',
    size: '1K',
    signal: AbortSignal.timeout(20_000),
    ...changes,
  })

const partOf = ({ mimeType, bytes }: EncodedImage) => ({
  inlineData: {
    mimeType,
    data: { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
  },
})

describe('the pictures of a request', () => {
  test('follow the text in their order, with a length and nothing else beside them', async () => {
    const order = [images[2]!, images[0]!, images[1]!, images[0]!]
    const { usage } = await generate({ images: order, aspectRatio: '3:2' })
    const [request] = emulator.requests
    expect(request?.body).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'a banana' }, ...order.map(partOf)] }],
      generationConfig: {
        responseModalities: ['TEXT', 'IMAGE'],
        imageConfig: { aspectRatio: '3:2', imageSize: '1K' },
      },
    })
    expect(request?.headers['content-length']).toBe(String(request?.bodyBytes))
    expect(request?.headers).not.toHaveProperty('transfer-encoding')
    expect(usage.inputTokens).toBe(2 + 4 * 258)
  })

  test('may go out with several calls at once', async () => {
    await Promise.all([1, 2, 3, 4].map((seed) => generate({ images, seed })))
    const bodies = emulator.requests.map(({ body }) => body as { contents: unknown[] })
    expect(bodies).toHaveLength(4)
    for (const { contents } of bodies) {
      expect(contents).toEqual([
        { role: 'user', parts: [{ text: 'a banana' }, ...images.map(partOf)] },
      ])
    }
  })

  test('are held for no longer than the call, however it ends', async () => {
    const gc = collector()
    const held: WeakRef<object>[] = []
    for (const prompt of ['x', 'x [[internal]]', 'x [[reset-mid-body]]', 'x [[silence]]']) {
      held.push(await generateOnce(prompt))
    }
    await expect
      .poll(() => {
        gc()
        return held.filter((ref) => ref.deref() !== undefined).length
      })
      .toBe(0)
  })
})

/** A call with a picture of its own, of which only a weak reference is left. */
async function generateOnce(prompt: string): Promise<WeakRef<object>> {
  const bytes = new Uint8Array(Buffer.from(images[0]!.bytes))
  const image: EncodedImage = { mimeType: 'image/png', bytes }
  const signal = AbortSignal.timeout(300)
  await generate({ prompt, images: [image], signal }).catch(() => {})
  return new WeakRef(bytes)
}

function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

describe('the settings of a request', () => {
  test.each([
    ['a seed', { seed: 42 }, { seed: 42 }],
    ['the smallest seed', { seed: 0 }, { seed: 0 }],
    ['the largest seed', { seed: 2_147_483_647 }, { seed: 2_147_483_647 }],
    ['a thinking level', { thinkingLevel: 'high' }, { thinkingConfig: { thinkingLevel: 'HIGH' } }],
  ] as const)('%s is sent as the provider spells it', async (_, changes, sent) => {
    await generate(changes)
    expect(emulator.requests[0]?.body).toMatchObject({
      generationConfig: {
        responseModalities: ['TEXT', 'IMAGE'],
        imageConfig: { imageSize: '1K' },
        ...sent,
      },
    })
  })

  test('leave no trace where they were not asked for', async () => {
    await generate({ model: modelOf('gemini-2.5-flash-image'), seed: undefined, images: [] })
    expect(emulator.requests[0]?.body).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'a banana' }] }],
      generationConfig: { responseModalities: ['TEXT', 'IMAGE'] },
    })
  })

  test('every model takes every thinking level of our catalogue', async () => {
    for (const model of MODELS) {
      for (const thinkingLevel of model.thinkingLevels) await generate({ model, thinkingLevel })
    }
    expect(new Set(emulator.requests.map(({ status }) => status))).toEqual(new Set([200]))
  })
})
