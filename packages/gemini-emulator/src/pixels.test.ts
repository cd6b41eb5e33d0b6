import { afterAll, beforeAll, expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import type { Emulator } from './emulator.ts'
import { pictureOf, post, promptBody } from './test-client.ts'

// Written out rather than taken from the table under test.
const FLASH_2_5 = {
  '1:1': '1024x1024',
  '2:3': '832x1248',
  '3:2': '1248x832',
  '3:4': '864x1184',
  '4:3': '1184x864',
  '4:5': '896x1152',
  '5:4': '1152x896',
  '9:16': '768x1344',
  '16:9': '1344x768',
  '21:9': '1536x672',
}
const TEN = {
  '1:1': '1024x1024',
  '2:3': '848x1264',
  '3:2': '1264x848',
  '3:4': '896x1200',
  '4:3': '1200x896',
  '4:5': '928x1152',
  '5:4': '1152x928',
  '9:16': '768x1376',
  '16:9': '1376x768',
  '21:9': '1584x672',
}
const FOURTEEN = {
  ...TEN,
  '1:4': '512x2048',
  '4:1': '2048x512',
  '1:8': '384x3072',
  '8:1': '3072x384',
}
const SMALL = {
  '1:1': '512x512',
  '2:3': '424x632',
  '3:2': '632x424',
  '3:4': '448x600',
  '4:3': '600x448',
  '4:5': '464x576',
  '5:4': '576x464',
  '9:16': '384x688',
  '16:9': '688x384',
  '21:9': '792x168',
  '1:4': '256x1024',
  '4:1': '1024x256',
  '1:8': '192x1536',
  '8:1': '1536x192',
}

const CASES: [model: string, size: string | undefined, pixels: Record<string, string>][] = [
  ['gemini-2.5-flash-image', undefined, FLASH_2_5],
  ['gemini-3.1-flash-lite-image', '1K', TEN],
  ['gemini-3-pro-image', undefined, TEN],
  ['gemini-3-pro-image', '2K', times(TEN, 2)],
  ['gemini-3-pro-image', '4K', times(TEN, 4)],
  ['gemini-3.1-flash-image', '512', SMALL],
  ['gemini-3.1-flash-image', '1K', FOURTEEN],
  ['gemini-3.1-flash-image', '2K', times(FOURTEEN, 2)],
  ['gemini-3.1-flash-image', '4K', times(FOURTEEN, 4)],
  ['gemini-nano-banana-2.1', '1K', FOURTEEN],
  ['gemini-nano-banana-2.1', '2K', times(FOURTEEN, 2)],
  ['gemini-nano-banana-2.1', '4K', times(FOURTEEN, 4)],
]

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8, pictureStyle: 'solid' })
})
afterAll(() => emulator.close())

test.each(CASES)(
  '%s at %s has the published pixels for every ratio',
  async (model, size, table) => {
    const seen: Record<string, string> = {}
    for (const ratio of Object.keys(table)) {
      seen[ratio] = (await draw(model, { aspectRatio: ratio, imageSize: size })).pixels
    }
    expect(seen).toEqual(table)
  },
)

test.each([
  ['gemini-2.5-flash-image', undefined, '1024x1024', 'png'],
  ['gemini-3.1-flash-lite-image', undefined, '1024x1024', 'jpeg'],
  ['gemini-3-pro-image', undefined, '1408x768', 'jpeg'],
  ['gemini-3-pro-image', '2K', '2816x1536', 'jpeg'],
  ['gemini-3.1-flash-image', '512', '512x512', 'jpeg'],
  ['gemini-nano-banana-2.1', '4K', '4096x4096', 'jpeg'],
])('%s at %s chooses %s when no ratio is asked', async (model, imageSize, pixels, format) => {
  expect(await draw(model, { imageSize })).toEqual({ format, pixels })
})

async function draw(model: string, imageConfig: unknown) {
  const body = promptBody('a banana', { responseModalities: ['IMAGE'], imageConfig })
  const response = await post(emulator, body, `/v1/models/${model}:generateContent`)
  const answer = (await response.json()) as {
    candidates: [{ content: { parts: [{ inlineData: { data: string } }] } }]
  }
  return pictureOf(answer.candidates[0].content.parts[0])
}

function times(table: Record<string, string>, factor: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(table).map(([ratio, pixels]) => [
      ratio,
      pixels
        .split('x')
        .map((side) => Number(side) * factor)
        .join('x'),
    ]),
  )
}
