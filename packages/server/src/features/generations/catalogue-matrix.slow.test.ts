import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { ASPECT_RATIOS, MODELS, SIZES, THINKING_LEVELS } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'
import { limitConcurrency } from '../../adapters/limit-concurrency.ts'

type Pixels = Readonly<Record<string, readonly [width: number, height: number]>>

// Google's tables, written out: neither the emulator's nor the sandbox's.
const OF_2_5: Pixels = {
  '1:1': [1024, 1024],
  '2:3': [832, 1248],
  '3:2': [1248, 832],
  '3:4': [864, 1184],
  '4:3': [1184, 864],
  '4:5': [896, 1152],
  '5:4': [1152, 896],
  '9:16': [768, 1344],
  '16:9': [1344, 768],
  '21:9': [1536, 672],
}
const TEN: Pixels = {
  '1:1': [1024, 1024],
  '2:3': [848, 1264],
  '3:2': [1264, 848],
  '3:4': [896, 1200],
  '4:3': [1200, 896],
  '4:5': [928, 1152],
  '5:4': [1152, 928],
  '9:16': [768, 1376],
  '16:9': [1376, 768],
  '21:9': [1584, 672],
}
const FOURTEEN: Pixels = {
  ...TEN,
  '1:4': [512, 2048],
  '4:1': [2048, 512],
  '1:8': [384, 3072],
  '8:1': [3072, 384],
}
const SMALL: Pixels = {
  '1:1': [512, 512],
  '2:3': [424, 632],
  '3:2': [632, 424],
  '3:4': [448, 600],
  '4:3': [600, 448],
  '4:5': [464, 576],
  '5:4': [576, 464],
  '9:16': [384, 688],
  '16:9': [688, 384],
  // As published, though it is no 21:9.
  '21:9': [792, 168],
  '1:4': [256, 1024],
  '4:1': [1024, 256],
  '1:8': [192, 1536],
  '8:1': [1536, 192],
}
const times = (factor: number, table: Pixels): Pixels =>
  Object.fromEntries(
    Object.entries(table).map(([ratio, [width, height]]) => [
      ratio,
      [width * factor, height * factor],
    ]),
  )

/** Model → size → ratio → pixels; what is not here, the model lacks. */
const CATALOGUE: Readonly<Record<string, Readonly<Record<string, Pixels>>>> = {
  'gemini-nano-banana-2.1': { '1K': FOURTEEN, '2K': times(2, FOURTEEN), '4K': times(4, FOURTEEN) },
  'gemini-3.1-flash-lite-image': { '1K': TEN },
  'gemini-3-pro-image': { '1K': TEN, '2K': times(2, TEN), '4K': times(4, TEN) },
  'gemini-3.1-flash-image': {
    '512': SMALL,
    '1K': FOURTEEN,
    '2K': times(2, FOURTEEN),
    '4K': times(4, FOURTEEN),
  },
  'gemini-2.5-flash-image': { '1K': OF_2_5 },
}
const THINKING: Readonly<Record<string, readonly string[]>> = {
  'gemini-nano-banana-2.1': ['minimal', 'medium', 'high'],
  'gemini-3.1-flash-lite-image': ['minimal', 'high'],
  'gemini-3-pro-image': [],
  'gemini-3.1-flash-image': ['minimal', 'high'],
  'gemini-2.5-flash-image': [],
}

const GEMINI_API_KEY = 'AIza-key-of-the-matrix'

let emulator: Emulator
let app: TestApp
let key: string
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8, pictureStyle: 'solid' })
  app = await createTestApp({ env: { GEMINI_API_KEY, GEMINI_BASE_URL: emulator.url } })
  key = (await app.createKey(await app.register(), { mode: 'live' })).key
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await emulator.close()
})

const inTurn = limitConcurrency(4)
const generate = (body: object) =>
  inTurn(() =>
    app.request('POST', '/v1/generate', { token: key, body: { prompt: 'a banana', ...body } }),
  )

const PAIRS = SIZES.flatMap((size) => ASPECT_RATIOS.map((ratio) => ({ size, ratio })))
const has = (model: string, { size, ratio }: (typeof PAIRS)[number]): boolean =>
  CATALOGUE[model]?.[size]?.[ratio] !== undefined

test('every model of the catalogue is in the matrix', () => {
  expect(MODELS.map(({ id }) => id)).toEqual(Object.keys(CATALOGUE))
})

describe.each(Object.keys(CATALOGUE))('%s', (model) => {
  test('draws each ratio at each of its sizes with the published pixels', async () => {
    const wanted = PAIRS.filter((pair) => has(model, pair))
    const seen = await Promise.all(
      wanted.map(async ({ size, ratio }) => {
        const { status, json } = await generate({ model, size, aspect_ratio: ratio })
        const { width, height } = json.images?.[0] ?? {}
        return { size, ratio, status, pixels: [width, height] }
      }),
    )
    expect(seen).toEqual(
      wanted.map(({ size, ratio }) => ({
        size,
        ratio,
        status: 200,
        pixels: CATALOGUE[model]?.[size]?.[ratio],
      })),
    )
  })

  test('refuses every other pair with what it takes, and asks nobody', async () => {
    emulator.clearRequests()
    const sizes = Object.keys(CATALOGUE[model] ?? {})
    const ratios = Object.keys(CATALOGUE[model]?.['1K'] ?? {})
    const lacking = PAIRS.filter((pair) => !has(model, pair))
    await Promise.all(
      lacking.map(async ({ size, ratio }) => {
        const { status, json } = await generate({ model, size, aspect_ratio: ratio })
        expect(status).toBe(400)
        const param = ratios.includes(ratio) ? 'size' : 'aspect_ratio'
        expect(json.error).toMatchObject({ code: 'unsupported_parameter', param })
        expect(json.error.message).toContain(model)
        for (const allowed of param === 'size' ? sizes : ratios)
          expect(json.error.message).toContain(allowed)
      }),
    )
    expect(emulator.requests).toEqual([])
  })

  test('is sent each of its thinking levels, and no level unasked', async () => {
    const levels = THINKING[model] ?? []
    emulator.clearRequests()
    for (const level of [...levels, undefined]) {
      const { status } = await generate({ model, size: '1K', thinking_level: level })
      expect(status).toBe(200)
    }
    const sent = emulator.requests.map(
      ({ body }) =>
        (body as { generationConfig: { thinkingConfig?: object } }).generationConfig.thinkingConfig,
    )
    expect(sent).toEqual([
      ...levels.map((level) => ({ thinkingLevel: level.toUpperCase() })),
      undefined,
    ])
  })

  test('refuses every other thinking level with what it takes, and asks nobody', async () => {
    const levels = THINKING[model] ?? []
    emulator.clearRequests()
    for (const level of THINKING_LEVELS.filter((one) => !levels.includes(one))) {
      const { status, json } = await generate({ model, thinking_level: level })
      expect(status).toBe(400)
      const known = levels.length === 0 ? 'none' : levels.join(', ')
      expect(json.error).toMatchObject({
        code: 'unsupported_parameter',
        param: 'thinking_level',
        message: `thinking_level: ${model} takes ${known}.`,
      })
    }
    expect(emulator.requests).toEqual([])
  })
})
