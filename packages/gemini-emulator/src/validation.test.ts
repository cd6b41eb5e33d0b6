import { createHash } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import type { Emulator } from './emulator.ts'
import {
  createClient,
  NANO_BANANA,
  partsOf,
  pictureOf,
  post,
  promptBody,
  rejection,
} from './test-client.ts'

interface ErrorAnswer {
  error: { code: number; message: string; status: string; details?: unknown[] }
}

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8 })
})
afterAll(() => emulator.close())

const PNG = 'iVBORw0KGgo='
const RATIOS =
  "'1:1', '1:4', '1:8', '2:3', '3:2', '3:4', '4:1', '4:3', '4:5', '5:4', '8:1', '9:16', '16:9', or '21:9'"
const CONFIG = 'GenerateContentRequest.generation_config.image_config'

describe('a value Google does not take', () => {
  test.each([
    [
      NANO_BANANA,
      { aspectRatio: '7:3' },
      `* ${CONFIG}.aspect_ratio: aspect_ratio must be one of ${RATIOS}.\n`,
    ],
    ['gemini-3-pro-image', { aspectRatio: '1:8' }, 'Aspect ratio is not enabled for this model'],
    [
      NANO_BANANA,
      { imageSize: '2k' },
      `* ${CONFIG}.image_size: image_size must be one of '1K', '2K', or '4K'.\n`,
    ],
    [
      NANO_BANANA,
      { imageSize: '512' },
      `* ${CONFIG}.image_size: image_size must be one of '1K', '2K', or '4K'.\n`,
    ],
    [
      'gemini-3-pro-image',
      { imageSize: '512' },
      `* ${CONFIG}.image_size: image_size must be one of '1K', '2K', or '4K'.\n`,
    ],
    [
      'gemini-3.1-flash-image',
      { imageSize: '512px' },
      `* ${CONFIG}.image_size: image_size must be one of '512', '1K', '2K', or '4K'.\n`,
    ],
    [
      'gemini-3.1-flash-lite-image',
      { imageSize: '2K' },
      `* ${CONFIG}.image_size: image_size must be one of '1K'.\n`,
    ],
  ])('%s with %o is a 400', async (model, imageConfig, message) => {
    const { error } = await refused(promptBody('x', { imageConfig }), model)
    expect(error).toEqual({ code: 400, message, status: 'INVALID_ARGUMENT' })
  })

  test('imageSize on 2.5 is a 500, as reported', async () => {
    const body = promptBody('x', { imageConfig: { imageSize: '1K' } })
    const { error } = await refused(body, 'gemini-2.5-flash-image')
    expect(error).toMatchObject({ code: 500, status: 'INTERNAL' })
  })

  test.each([
    ['gemini-2.5-flash-image', 'HIGH', 'Thinking level is not supported for this model.'],
    [NANO_BANANA, 'LOW', 'Thinking level is not supported for this model.'],
    [
      NANO_BANANA,
      'ULTRA',
      expect.stringContaining(
        "Invalid value at 'generation_config.thinking_config.thinking_level'",
      ),
    ],
    [NANO_BANANA, 'high', expect.stringContaining('google.ai.generativelanguage.ThinkingLevel')],
  ])('%s with thinking level %s is a 400', async (model, thinkingLevel, message) => {
    const { error } = await refused(promptBody('x', { thinkingConfig: { thinkingLevel } }), model)
    expect(error).toMatchObject({ code: 400, message })
  })

  test('a number where a string belongs is a 400', async () => {
    const { error } = await refused(promptBody('x', { imageConfig: { aspectRatio: 5 } }))
    expect(error.message).toBe(
      "Invalid value at 'generation_config.image_config.aspect_ratio' (TYPE_STRING), 5",
    )
  })

  test.each([2_147_483_648, -2_147_483_649, 1.5, '42', true])(
    'the seed %j is a 400',
    async (seed) => {
      const { error } = await refused(promptBody('x', { seed }))
      expect(error).toMatchObject({
        code: 400,
        message: `Invalid value at 'generation_config.seed' (TYPE_INT32), ${JSON.stringify(seed)}`,
      })
    },
  )

  test('a seed of 32 bits is taken', async () => {
    for (const seed of [0, -1, 2_147_483_647, -2_147_483_648]) {
      expect((await post(emulator, promptBody('x', { seed }))).status).toBe(200)
    }
  })

  test('more than one candidate is a 400', async () => {
    const { error } = await refused(promptBody('x', { candidateCount: 2 }))
    expect(error.code).toBe(400)
  })

  test('an empty request is a 400', async () => {
    const { error } = await refused({ contents: [] })
    expect(error.message).toBe('* GenerateContentRequest.contents: contents is not specified\n')
  })
})

describe('an input picture', () => {
  test('of another type is refused with the list of types', async () => {
    const { error } = await refused(withPicture('image/gif', 'R0lGODlh'))
    expect(error.message).toBe(
      '* GenerateContentRequest.contents[0].parts[1].inline_data.mime_type: MIME type must be ' +
        'image/png, image/jpeg, image/webp, image/heic, or image/heif.\n',
    )
  })

  test('that is no picture is refused', async () => {
    const { error } = await refused(withPicture('image/png', 'aGVsbG8gd29ybGQ='))
    expect(error.message).toBe('Provided image is not valid')
  })

  test('that is no base64 is refused', async () => {
    const { error } = await refused(withPicture('image/png', '%%%'))
    expect(error.message).toContain("'contents[0].parts[1].inline_data.data' (TYPE_BYTES)")
  })

  test('too many are refused', async () => {
    const picture = { inlineData: { mimeType: 'image/png', data: PNG } }
    const parts = [{ text: 'x' }, ...Array.from({ length: 15 }, () => picture)]
    expect((await refused({ contents: [{ parts }] })).error.code).toBe(400)
  })

  test.each([
    [NANO_BANANA, 258],
    ['gemini-2.5-flash-image', 258],
    ['gemini-3-pro-image', 1120],
  ])('is counted in the prompt: %s, %i', async (model, tokenCount) => {
    const path = `/v1/models/${model}:generateContent`
    const response = await post(emulator, withPicture('image/png', PNG), path)
    expect(await response.json()).toMatchObject({
      usageMetadata: {
        promptTokenCount: 1 + tokenCount,
        promptTokensDetails: [
          { modality: 'TEXT', tokenCount: 1 },
          { modality: 'IMAGE', tokenCount },
        ],
      },
    })
  })

  test('stands in the log in its place, as its type, length and hash', async () => {
    const picture = (mimeType: string, data: string) => ({ inlineData: { mimeType, data } })
    const jpeg = Buffer.from([0xff, 0xd8, 0xff, 1])
    const parts = [picture('image/jpeg', jpeg.toString('base64')), picture('image/png', PNG)]
    await post(emulator, { contents: [{ parts: [{ text: 'x' }, ...parts, parts[0]] }] })
    const logged = (mimeType: string, bytes: Buffer) => ({
      inlineData: {
        mimeType,
        data: { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
      },
    })
    expect(emulator.requests.at(-1)?.body).toEqual({
      contents: [
        {
          parts: [
            { text: 'x' },
            logged('image/jpeg', jpeg),
            logged('image/png', Buffer.from(PNG, 'base64')),
            logged('image/jpeg', jpeg),
          ],
        },
      ],
    })
  })
})

describe('an unknown field', () => {
  test('is named with its place and as a violation', async () => {
    const body = promptBody('x', { imageConfig: { outputMimeType: 'image/png' } })
    const description =
      'Invalid JSON payload received. Unknown name "outputMimeType" at ' +
      "'generation_config.image_config': Cannot find field."
    expect(await refused(body)).toEqual({
      error: {
        code: 400,
        message: description,
        status: 'INVALID_ARGUMENT',
        details: [
          {
            '@type': 'type.googleapis.com/google.rpc.BadRequest',
            fieldViolations: [{ field: 'generation_config.image_config', description }],
          },
        ],
      },
    })
  })

  test('is one violation each', async () => {
    const { error } = await refused({ ...promptBody('x', { steps: 3 }), prompt: 'x' })
    expect(error.message.split('\n')).toEqual([
      `Invalid JSON payload received. Unknown name "steps" at 'generation_config': Cannot find field.`,
      'Invalid JSON payload received. Unknown name "prompt": Cannot find field.',
    ])
  })

  test('may be a known one spelt in snake_case', async () => {
    const response = await post(emulator, {
      contents: [{ parts: [{ text: 'x' }] }],
      generation_config: { image_config: { aspect_ratio: '16:9' } },
    })
    expect(await pictureIn(response)).toBe('1376x768')
  })

  test('is every disputed field on v1 if the emulator is told so', async () => {
    await using strict = await startEmulator({ unknownOnV1: ['imageConfig'], signatureBytes: 8 })
    const body = promptBody('x', { imageConfig: { aspectRatio: '1:1' } })
    const path = `/models/${NANO_BANANA}:generateContent`
    expect((await post(strict, body, `/v1${path}`)).status).toBe(400)
    expect((await post(strict, body, `/v1beta${path}`)).status).toBe(200)
  })
})

describe('responseFormat', () => {
  test('asks for a picture like imageConfig does', async () => {
    const image = { aspectRatio: 'ASPECT_RATIO_TWENTY_ONE_BY_NINE', imageSize: 'IMAGE_SIZE_TWO_K' }
    const response = await post(emulator, promptBody('x', { responseFormat: { image } }))
    expect(await pictureIn(response)).toBe('3168x1344')
  })

  test('wants the names of the enums', async () => {
    const image = { aspectRatio: '21:9' }
    const { error } = await refused(promptBody('x', { responseFormat: { image } }))
    expect(error.message).toContain("'generation_config.response_format.image.aspect_ratio'")
  })
})

describe('a model or path nobody knows', () => {
  test.each([
    ['v1', 'generateContent', 'generateContent'],
    ['v1beta', 'streamGenerateContent', 'generateContent'],
    ['v1', 'countTokens', 'countTokens'],
    ['v1beta', 'predict', 'predict'],
  ])('is a 404 that names %s and %s', async (version, method, named) => {
    const response = await post(emulator, promptBody('x'), `/${version}/models/imagen-4:${method}`)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({
      error: {
        code: 404,
        message:
          `models/imagen-4 is not found for API version ${version}, or is not supported for ` +
          `${named}. Call ListModels to see the list of available models and their supported methods.`,
        status: 'NOT_FOUND',
      },
    })
  })

  test('is an HTML 404 outside the API', async () => {
    const response = await post(emulator, {}, '/v1/pictures')
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toContain('text/html')
  })
})

describe('a key', () => {
  test('that is bad gives the 400 of Google, not a 401', async () => {
    const client = createClient(emulator, { apiKey: 'bad' })
    const error = await rejection(client.models.get({ model: NANO_BANANA }))
    expect(error).toMatchObject({ name: 'ApiError', status: 400 })
    expect(error?.message).toContain('API_KEY_INVALID')
  })

  test('that is missing or empty gives 403, also in the query', async () => {
    const bare = await fetch(`${emulator.url}/v1/models?key=x`)
    expect(bare.status).toBe(403)
    const empty = await fetch(`${emulator.url}/v1/models`, { headers: { 'x-goog-api-key': '' } })
    expect(empty.status).toBe(403)
  })

  test('must be one of those listed, if any are', async () => {
    await using strict = await startEmulator({ apiKeys: ['good'], badApiKeys: [] })
    const list = (key: string) =>
      fetch(`${strict.url}/v1/models`, { headers: { 'x-goog-api-key': key } })
    expect((await list('good')).status).toBe(200)
    expect((await list('other')).status).toBe(400)
  })
})

describe('a body', () => {
  test('that is no JSON is a 400', async () => {
    const response = await post(emulator, {}, undefined, { body: '{"contents":' })
    expect(response.status).toBe(400)
  })

  test('that is too large is a 400 with the limit', async () => {
    await using small = await startEmulator({ maxRequestBytes: 100 })
    const response = await post(small, promptBody('x'.repeat(200)))
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('exceeds the limit: 100 bytes')
  })
})

async function refused(body: unknown, model = NANO_BANANA): Promise<ErrorAnswer> {
  const response = await post(emulator, body, `/v1/models/${model}:generateContent`)
  const answer = (await response.json()) as ErrorAnswer
  expect(response.status).toBe(answer.error.code)
  return answer
}

async function pictureIn(response: Response): Promise<string> {
  const parts = partsOf((await response.json()) as Parameters<typeof partsOf>[0])
  return (await pictureOf(parts.find((part) => part.inlineData))).pixels
}

function withPicture(mimeType: string, data: string) {
  return {
    contents: [{ parts: [{ text: 'x' }, { inlineData: { mimeType, data } }], role: 'user' }],
  }
}
