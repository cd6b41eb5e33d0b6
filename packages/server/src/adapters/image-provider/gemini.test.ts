import { type Emulator, maskKey, startEmulator } from '@nanobanana/gemini-emulator'
import { MODELS } from '@nanobanana/shared'
import sharp from 'sharp'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ImageProvider, ImageRequest, ProviderError } from '../../ports/image-provider.ts'
import { createGeminiProvider } from './gemini.ts'

const API_KEY = 'AIza-a-key-of-tests'

let emulator: Emulator
let provider: ImageProvider
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64 })
  provider = createGeminiProvider({
    apiKey: API_KEY,
    baseUrl: emulator.url,
    attemptTimeoutMs: 10_000,
  })
})
beforeEach(() => emulator.clearRequests())
afterAll(() => emulator.close())

const modelOf = (id: string) => MODELS.find((model) => model.id === id)!

function generate(prompt: string, changes: Partial<ImageRequest> = {}) {
  return provider.generate({
    model: modelOf('gemini-nano-banana-2.1'),
    prompt,
    size: '1K',
    signal: AbortSignal.timeout(20_000),
    ...changes,
  })
}
const failure = (prompt: string, changes: Partial<ImageRequest> = {}): Promise<ProviderError> =>
  generate(prompt, changes).then(
    () => expect.unreachable(`${prompt} should have failed`),
    (error: unknown) => error as ProviderError,
  )
const pixelsOf = async (bytes: Uint8Array) => {
  const { width, height, format } = await sharp(bytes).metadata()
  return `${format} ${width}x${height}`
}

describe('the request on the wire', () => {
  test('is one POST of the prompt, with the key in a header only', async () => {
    await generate('a banana', { aspectRatio: '21:9', size: '2K' })
    expect(emulator.requests).toHaveLength(1)
    const [request] = emulator.requests
    expect(request).toMatchObject({
      method: 'POST',
      path: '/v1/models/gemini-nano-banana-2.1:generateContent',
      status: 200,
    })
    expect(request?.headers['x-goog-api-key']).toBe(maskKey(API_KEY))
    expect(request?.headers['content-type']).toMatch(/^application\/json/)
    expect(request?.body).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'a banana' }] }],
      generationConfig: {
        responseModalities: ['TEXT', 'IMAGE'],
        imageConfig: { aspectRatio: '21:9', imageSize: '2K' },
      },
    })
  })

  test.each([
    ['gemini-nano-banana-2.1', undefined, { imageSize: '1K' }],
    ['gemini-3-pro-image', '3:4', { aspectRatio: '3:4', imageSize: '1K' }],
    ['gemini-2.5-flash-image', '3:4', { aspectRatio: '3:4' }],
    ['gemini-2.5-flash-image', undefined, undefined],
    ['gemini-3.1-flash-lite-image', undefined, undefined],
  ] as const)('to %s with the ratio %s asks for %j', async (id, aspectRatio, imageConfig) => {
    await generate('a banana', { model: modelOf(id), aspectRatio })
    expect(emulator.requests[0]?.body).toMatchObject({ generationConfig: expect.anything() })
    const body = emulator.requests[0]?.body as { generationConfig: { imageConfig?: unknown } }
    expect(body.generationConfig.imageConfig).toEqual(imageConfig)
  })

  test('every model takes every ratio and size of our catalogue', async () => {
    for (const model of MODELS) {
      for (const aspectRatio of model.aspectRatios) await generate('x', { model, aspectRatio })
      for (const size of model.sizes.filter((one) => one !== '4K'))
        await generate('x', { model, size })
    }
    expect(new Set(emulator.requests.map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('goes to another version of the API when told so', async () => {
    const beta = createGeminiProvider({
      apiKey: API_KEY,
      baseUrl: emulator.url,
      apiVersion: 'v1beta',
      attemptTimeoutMs: 10_000,
    })
    await beta.generate({
      model: modelOf('gemini-3-pro-image'),
      prompt: 'x',
      size: '1K',
      signal: AbortSignal.timeout(20_000),
    })
    expect(emulator.requests[0]?.path).toMatch(/^\/v1beta\/models\//)
  })

  test('is not sent again for an answer that asks to be continued', async () => {
    await generate('x [[continuation images=1]]')
    expect(emulator.requests).toHaveLength(1)
  })

  test('keeps every character of a prompt', async () => {
    const prompt = 'a "banana" \\ 🍌 \n\t \u202e <b> é ﬀ'
    await generate(prompt)
    expect(emulator.requests[0]?.body).toMatchObject({ contents: [{ parts: [{ text: prompt }] }] })
  })
})

describe('the picture of an answer', () => {
  test.each([
    ['success', 'jpeg 1024x1024', 'Here is the picture you asked for.'],
    ['image-only', 'jpeg 1024x1024', null],
    ['image-before-text', 'jpeg 1024x1024', expect.any(String)],
    ['drafts-flagged', 'jpeg 1024x1024', expect.any(String)],
    ['drafts-unflagged', 'jpeg 1024x1024', expect.any(String)],
    ['thought-image', 'jpeg 1024x1024', expect.any(String)],
    ['lying-mime', 'jpeg 1024x1024', expect.any(String)],
    ['missing-mime', 'jpeg 1024x1024', expect.any(String)],
    ['unknown-finish-reason images=1', 'jpeg 1024x1024', null],
    ['slow-body pauseMs=5', 'jpeg 1024x1024', expect.any(String)],
    ['realistic-size', 'jpeg 1024x1024', expect.any(String)],
  ])('%s is the finished one, its words beside it', async (scenario, pixels, text) => {
    const result = await generate(`x [[${scenario}]]`)
    expect(await pixelsOf(result.bytes)).toBe(pixels)
    expect(result.text).toEqual(text)
  })

  test('of 2.5 is a PNG', async () => {
    const { bytes } = await generate('x', { model: modelOf('gemini-2.5-flash-image') })
    expect(await pixelsOf(bytes)).toBe('png 1024x1024')
  })

  test('comes with the tokens as the provider counted them', async () => {
    const { usage } = await generate('b'.repeat(32), { size: '2K' })
    expect(usage).toEqual({
      inputTokens: 8,
      textOutputTokens: 163 + 174,
      imageOutputTokens: 1680,
    })
  })
})

describe('what the provider may bill for a failure', () => {
  const nothingButImage = { inputTokens: 0, textOutputTokens: 0, imageOutputTokens: 1680 }
  test.each([
    ['refused', { inputTokens: 3, textOutputTokens: 174, imageOutputTokens: 0 }],
    ['prompt-blocked', { inputTokens: 5, textOutputTokens: 174, imageOutputTokens: 0 }],
    ['text-only', { inputTokens: 4, textOutputTokens: 163 + 174, imageOutputTokens: 0 }],
    ['html', nothingButImage],
    ['reset-before-headers', nothingButImage],
    ['reset-mid-body', nothingButImage],
    ['redirect', undefined],
    ['overloaded', undefined],
    ['bad-key', undefined],
  ])('%s: %j', async (scenario, wasted) => {
    expect((await failure(`[[${scenario}]]`, { size: '2K' })).wasted).toEqual(wasted)
  })
})

describe('the end of all time for a call', () => {
  test('is upstream_timeout, with what may be billed, and hangs up', async () => {
    const { code, wasted } = await failure('[[silence]]', { signal: AbortSignal.timeout(100) })
    expect([code, wasted?.imageOutputTokens]).toEqual(['upstream_timeout', 1120])
    await emulator.idle()
  })

  test('before it began costs nothing', async () => {
    const signal = AbortSignal.abort(new DOMException('too late', 'TimeoutError'))
    const { code, wasted } = await failure('x', { signal })
    expect([code, wasted]).toEqual(['upstream_timeout', undefined])
    expect(emulator.requests).toEqual([])
  })
})

describe('an answer without a picture', () => {
  test.each([
    ['prompt-blocked', 'PROHIBITED_CONTENT'],
    ['prompt-blocked blockReason=OTHER', 'OTHER'],
    ['refused', 'IMAGE_SAFETY'],
    ['refused-silent', 'IMAGE_SAFETY'],
    ['refused-safety', 'SAFETY'],
    ['refused content=null-parts', 'IMAGE_SAFETY'],
    ['refused finishReason=RECITATION', 'RECITATION'],
    ['refused finishReason=IMAGE_PROHIBITED_CONTENT', 'IMAGE_PROHIBITED_CONTENT'],
  ])('%s is content_blocked with the reason', async (scenario, reason) => {
    const { code, message } = await failure(`x [[${scenario}]]`)
    expect(code).toBe('content_blocked')
    expect(message).toContain(reason)
    expect(emulator.requests).toHaveLength(1)
  })

  test.each([
    ['no-image', 'NO_IMAGE'],
    ['max-tokens', 'MAX_TOKENS'],
    ['text-only', 'it is yellow, bent and ripe'],
    ['unknown-finish-reason', 'IMAGE_TOO_BEAUTIFUL'],
    ['continuation', 'CONTINUATION'],
  ])('%s is no_image with what the model said', async (scenario, words) => {
    const { code, message } = await failure(`x [[${scenario}]]`)
    expect(code).toBe('no_image')
    expect(message).toContain(words)
  })

  test.each(['empty-object', 'html', 'bad-base64', 'truncated'])(
    '%s is upstream_invalid',
    async (scenario) => {
      expect((await failure(`x [[${scenario}]]`)).code).toBe('upstream_invalid')
    },
  )
})

describe('an error of the provider', () => {
  test.each([
    ['bad-key', 'upstream_failed'],
    ['key-expired', 'upstream_failed'],
    ['region-blocked', 'upstream_failed'],
    ['permission-denied', 'upstream_failed'],
    ['model-not-found', 'upstream_failed'],
    ['invalid-argument', 'upstream_failed'],
    ['unknown-field', 'upstream_failed'],
    ['quota-per-day', 'upstream_failed'],
    ['quota-zero', 'upstream_failed'],
    ['quota-per-minute', 'upstream_rate_limited'],
    ['quota-bare', 'upstream_rate_limited'],
    ['internal', 'upstream_unavailable'],
    ['overloaded', 'upstream_unavailable'],
    ['error-html', 'upstream_unavailable'],
    ['deadline-expired', 'upstream_timeout'],
    ['gateway-timeout', 'upstream_timeout'],
  ])('%s is %s, in words of our own', async (scenario, code) => {
    const error = await failure(`x [[${scenario}]]`)
    expect(error).toMatchObject({ name: 'ProviderError', code })
    expect(error.message).not.toMatch(/google|gemini|api key|quota exceeded|[{}"]/i)
    expect(error.cause).toBeInstanceOf(Error)
  })

  test.each([
    ['quota-per-minute', 34_400],
    ['quota-per-minute retryDelay=7s', 7000],
    ['quota-bare', undefined],
  ])('%s asks to wait %s ms', async (scenario, retryAfterMs) => {
    expect((await failure(`x [[${scenario}]]`)).retryAfterMs).toBe(retryAfterMs)
  })

  test.each([
    ['null-body', 'upstream_invalid'],
    ['error-bad-json', 'upstream_unavailable'],
    ['ok-with-error', 'upstream_unavailable'],
  ])('that the SDK would hide is told for what it is: %s is %s', async (scenario, code) => {
    const error = await failure(`x [[${scenario}]]`)
    expect(error.name).toBe('ProviderError')
    expect(error.code).toBe(code)
  })

  test('is told in the words of the provider, where it has any', async () => {
    const { code, message } = await failure('x [[refused]]')
    expect(code).toBe('content_blocked')
    expect(message).toMatch(/^The provider refused the request \(IMAGE_SAFETY\)\. .*Support code/)
  })
})
