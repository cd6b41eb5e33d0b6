import sharp from 'sharp'
import { describe, expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import {
  createClient,
  generate,
  NANO_BANANA,
  partsOf,
  pictureOf,
  post,
  promptBody,
} from './test-client.ts'

const SMALL = { signatureBytes: 8 }

describe('a good answer', () => {
  test('of the Gemini 3 family is a signed text and a signed JPEG', async () => {
    await using emulator = await startEmulator()
    const response = await generate(emulator)
    const [text, image] = partsOf(response)
    expect(text?.text).toBe('Here is the picture you asked for.')
    expect(text?.thoughtSignature).toHaveLength(1_100_000)
    expect(image?.thoughtSignature).toHaveLength(1_100_000)
    expect(image?.inlineData?.mimeType).toBe('image/jpeg')
    expect(await pictureOf(image)).toEqual({ format: 'jpeg', pixels: '1024x1024' })
    expect(response.candidates?.[0]).toMatchObject({ finishReason: 'STOP', index: 0 })
    expect(response.modelVersion).toBe(NANO_BANANA)
    expect(response.responseId).toMatch(/^[A-Za-z0-9_-]{23}$/)
  })

  test('of the Gemini 3 family carries provenance and decodes in full', async () => {
    await using emulator = await startEmulator(SMALL)
    const image = partsOf(await generate(emulator))[1]
    const bytes = Buffer.from(image?.inlineData?.data ?? '', 'base64')
    expect(bytes.includes('jumb')).toBe(true)
    const decoded = await sharp(bytes, { failOn: 'warning' }).raw().toBuffer()
    expect(decoded).toHaveLength(1024 * 1024 * 3)
  })

  test('of 2.5 is an unsigned PNG without thoughts', async () => {
    await using emulator = await startEmulator()
    const response = await generate(emulator, 'a banana', { model: 'gemini-2.5-flash-image' })
    const [text, image] = partsOf(response)
    expect(text).toEqual({ text: expect.any(String) })
    expect(image).toEqual({ inlineData: { mimeType: 'image/png', data: expect.any(String) } })
    expect(await pictureOf(image)).toEqual({ format: 'png', pixels: '1024x1024' })
    expect(response.usageMetadata).toEqual({
      promptTokenCount: 2,
      candidatesTokenCount: 1336,
      totalTokenCount: 1338,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: 2 }],
      candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 1290 }],
      serviceTier: 'standard',
    })
  })

  test.each([
    [NANO_BANANA, '4K', 3780],
    ['gemini-3-pro-image', '2K', 1120],
    ['gemini-3.1-flash-image', '512', 747],
  ])('of %s at %s counts %i picture tokens', async (model, imageSize, tokens) => {
    await using emulator = await startEmulator(SMALL)
    const { usageMetadata: usage = {} } = await generate(emulator, 'a banana', {
      model,
      config: { imageConfig: { imageSize } },
    })
    expect(usage.candidatesTokensDetails).toEqual([{ modality: 'IMAGE', tokenCount: tokens }])
    const overhead = (usage.candidatesTokenCount ?? 0) - tokens
    expect(overhead).toBeGreaterThanOrEqual(69)
    expect(overhead).toBeLessThanOrEqual(660)
    const { promptTokenCount = 0, candidatesTokenCount = 0, thoughtsTokenCount = 0 } = usage
    expect(usage.totalTokenCount).toBe(promptTokenCount + candidatesTokenCount + thoughtsTokenCount)
  })

  test('keeps to the modalities asked', async () => {
    await using emulator = await startEmulator(SMALL)
    const imageOnly = await generate(emulator, 'x', { config: { responseModalities: ['IMAGE'] } })
    expect(partsOf(imageOnly).map((part) => Boolean(part.inlineData))).toEqual([true])
    const textOnly = await generate(emulator, 'x', { config: { responseModalities: ['TEXT'] } })
    expect(partsOf(textOnly).map((part) => Boolean(part.inlineData))).toEqual([false])
  })

  test('starts with a thought when thoughts are asked', async () => {
    await using emulator = await startEmulator(SMALL)
    const config = { thinkingConfig: { includeThoughts: true } }
    const [thought] = partsOf(await generate(emulator, 'x', { config }))
    expect(thought?.thought).toBe(true)
  })

  test('comes chunked, with the headers Google sends', async () => {
    await using emulator = await startEmulator(SMALL)
    const response = await post(emulator, promptBody('x'))
    await response.json()
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'alt-svc': 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000',
      'content-type': 'application/json; charset=UTF-8',
      'server-timing': expect.stringMatching(/^gfet4t7; dur=\d+$/),
      'transfer-encoding': 'chunked',
      vary: 'Origin, X-Origin, Referer',
    })
    expect(response.headers.has('content-length')).toBe(false)
  })

  test('is compressed if the emulator is told so', async () => {
    await using emulator = await startEmulator({ ...SMALL, gzip: true })
    const response = await post(emulator, promptBody('x'))
    expect(response.headers.get('content-encoding')).toBe('gzip')
    expect(await response.json()).toHaveProperty('candidates')
  })

  test('is served under a path prefix', async () => {
    await using emulator = await startEmulator({ ...SMALL, pathPrefix: '/proxy/gemini/' })
    expect(emulator.url).toMatch(/\/proxy\/gemini$/)
    expect(partsOf(await generate(emulator))).toHaveLength(2)
    expect(emulator.requests[0]?.path).toMatch(/^\/proxy\/gemini\/v1\/models\//)
    expect((await fetch(`${new URL(emulator.url).origin}/v1/models`)).status).toBe(404)
  })
})

describe('the other methods', () => {
  test.each(['v1', 'v1beta'])('are served on %s', async (apiVersion) => {
    await using emulator = await startEmulator(SMALL)
    const { models } = createClient(emulator, { apiVersion })
    const image = { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } }
    const contents = [{ parts: [{ text: 'a banana' }, image], role: 'user' }]
    expect(await models.countTokens({ model: NANO_BANANA, contents })).toMatchObject({
      totalTokens: 260,
    })
    expect(await models.get({ model: NANO_BANANA })).toMatchObject({
      name: 'models/gemini-nano-banana-2.1',
      displayName: 'Nano Banana 2.1',
      supportedActions: ['generateContent', 'countTokens'],
    })
    const names: (string | undefined)[] = []
    for await (const model of await models.list({ config: { pageSize: 2 } })) names.push(model.name)
    expect(names).toEqual([
      'models/gemini-nano-banana-2.1',
      'models/gemini-3.1-flash-lite-image',
      'models/gemini-3-pro-image',
      'models/gemini-3.1-flash-image',
      'models/gemini-2.5-flash-image',
    ])
  })
})
