import type { Part } from '@google/genai'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startEmulator } from '../emulator.ts'
import type { Emulator } from '../emulator.ts'
import type { ScenarioInput } from '../scenario.ts'
import { generate, partsOf, pictureOf, post, promptBody, rejection } from '../test-client.ts'

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8 })
})
afterAll(() => emulator.close())

test.each([
  ['drafts-flagged', [true, true, undefined]],
  ['drafts-unflagged', [undefined, undefined, undefined]],
] as const)('%s puts two smaller drafts before the picture', async (name, thoughts) => {
  const pictures = (await play(name)).filter((part) => part.inlineData)
  expect(pictures.map((part) => part.thought)).toEqual(thoughts)
  const pixels = await Promise.all(pictures.map(async (part) => (await pictureOf(part)).pixels))
  expect(pixels).toEqual(['512x512', '512x512', '1024x1024'])
  expect(pictures.every((part) => part.thoughtSignature)).toBe(true)
})

test('success can hold several pictures', async () => {
  const parts = await play({ images: 4 })
  expect(parts.filter((part) => part.inlineData)).toHaveLength(4)
})

test('thought-image has its only picture in a thought', async () => {
  const pictures = (await play('thought-image')).filter((part) => part.inlineData)
  expect(pictures.map((part) => part.thought)).toEqual([true])
})

test('image-before-text and image-only say so', async () => {
  const order = async (name: ScenarioInput) =>
    (await play(name)).map((part) => (part.inlineData ? 'image' : 'text'))
  expect(await order('image-before-text')).toEqual(['image', 'text'])
  expect(await order('image-only')).toEqual(['image'])
})

test('lying-mime declares PNG for a JPEG', async () => {
  const part = (await play('lying-mime'))[1]
  expect(part?.inlineData?.mimeType).toBe('image/png')
  expect((await pictureOf(part)).format).toBe('jpeg')
})

test('missing-mime holds a good picture without a type', async () => {
  const part = (await play('missing-mime'))[1]
  expect(part?.inlineData).not.toHaveProperty('mimeType')
  expect((await pictureOf(part)).format).toBe('jpeg')
})

test('snake-case passes the SDK unchanged', async () => {
  const [, part] = await play('snake-case')
  expect(part).toEqual({ inline_data: { mime_type: 'image/jpeg', data: expect.any(String) } })
})

test('file-data gives a URI in place of bytes', async () => {
  const [, part] = await play('file-data')
  expect(part).toEqual({
    fileData: { mimeType: 'image/jpeg', fileUri: expect.stringMatching(/^http.*picture$/) },
  })
})

test.each([
  ['empty-data', /^$/],
  ['bad-base64', /%/],
] as const)('%s gives useless data', async (name, data) => {
  expect((await play(name))[1]?.inlineData?.data).toMatch(data)
})

test.each(['corrupt-image', 'not-an-image'] as const)('%s cannot be decoded', async (name) => {
  const sharp = (await import('sharp')).default
  const data = (await play(name))[1]?.inlineData?.data ?? ''
  const bytes = Buffer.from(data, 'base64')
  expect(bytes.toString('base64')).toBe(data)
  expect(await rejection(sharp(bytes, { failOn: 'truncated' }).raw().toBuffer())).toBeDefined()
})

test('ignored-size and ignored-ratio fall back to the defaults', async () => {
  const config = { imageConfig: { aspectRatio: '16:9', imageSize: '2K' } }
  const pixels = async (name: ScenarioInput) =>
    (await pictureOf((await play(name, config))[1])).pixels
  expect(await pixels('success')).toBe('2752x1536')
  expect(await pixels('ignored-size')).toBe('1376x768')
  expect(await pixels('ignored-ratio')).toBe('2048x2048')
})

test('realistic-size is a body of more than 4 MB with large signatures', async () => {
  emulator.script(['realistic-size'])
  const response = await post(emulator, promptBody('x'))
  const text = await response.text()
  expect(text.length).toBeGreaterThan(4_000_000)
  const parts = partsOf(JSON.parse(text) as Parameters<typeof partsOf>[0])
  expect(parts[1]?.thoughtSignature?.length).toBeGreaterThanOrEqual(1_000_000)
})

async function play(scenario: ScenarioInput, config = {}): Promise<Part[]> {
  emulator.script([scenario])
  return partsOf(await generate(emulator, 'a banana', { config }))
}
