import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { startEmulator } from '../emulator.ts'
import type { Emulator } from '../emulator.ts'
import type { Scenario } from '../scenario.ts'
import { generate, NANO_BANANA, partsOf, post, promptBody } from '../test-client.ts'

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8 })
})
beforeEach(() => {
  emulator.clearScript()
  emulator.clearRequests()
})
afterAll(() => emulator.close())

describe('a refused candidate', () => {
  test.each([
    ['empty', { content: {} }],
    ['role', { content: { role: 'model' } }],
    ['null-parts', { content: { parts: null } }],
    ['absent', {}],
  ] as const)(
    'with %s content has its shape, with and without a message',
    async (content, shape) => {
      const common = { ...shape, finishReason: 'IMAGE_RECITATION', index: 0 }
      const settings = { content, finishReason: 'IMAGE_RECITATION' }
      expect(await candidate({ name: 'refused', ...settings })).toEqual({
        ...common,
        finishMessage: expect.stringContaining('Support code'),
      })
      expect(await candidate({ name: 'refused-silent', ...settings })).toEqual(common)
    },
  )

  test('can have a blocked safety rating and no index', async () => {
    expect(await candidate({ name: 'refused-safety' })).toEqual({
      content: {},
      finishReason: 'SAFETY',
      safetyRatings: [expect.objectContaining({ blocked: true })],
    })
  })

  test.each([
    ['no-image', 'NO_IMAGE'],
    ['max-tokens', 'MAX_TOKENS'],
    ['unknown-finish-reason', 'IMAGE_TOO_BEAUTIFUL'],
  ] as const)('of %s reaches the SDK without parts', async (name, reason) => {
    emulator.script([name])
    const response = await generate(emulator)
    expect(response.candidates?.[0]?.finishReason).toBe(reason)
    expect(partsOf(response)).toEqual([])
  })

  test('is charged its prompt and thoughts', async () => {
    emulator.script(['refused'])
    const { usageMetadata } = await generate(emulator)
    expect(usageMetadata).toMatchObject({ promptTokenCount: 2, thoughtsTokenCount: 174 })
    expect(usageMetadata?.totalTokenCount).toBe(176)
    expect(usageMetadata?.candidatesTokenCount).toBeUndefined()
  })
})

test('a blocked prompt has a reason and no candidates', async () => {
  emulator.script([
    { name: 'prompt-blocked', blockReason: 'BLOCKLIST', message: 'Mind your words.' },
  ])
  const response = await generate(emulator)
  expect(response.candidates).toBeUndefined()
  expect(response.promptFeedback).toEqual({
    blockReason: 'BLOCKLIST',
    blockReasonMessage: 'Mind your words.',
  })
})

test('an empty answer has neither candidates nor feedback', async () => {
  emulator.script(['no-candidates'])
  const response = await generate(emulator)
  expect(response.candidates ?? response.promptFeedback).toBeUndefined()
})

test('text only is a normal STOP', async () => {
  emulator.script([{ name: 'text-only', text: 'No.' }])
  const response = await generate(emulator)
  expect(response.candidates?.[0]?.finishReason).toBe('STOP')
  expect(partsOf(response)).toEqual([{ text: 'No.', thoughtSignature: expect.any(String) }])
})

test('an unknown finishReason may come with a picture', async () => {
  emulator.script([{ name: 'unknown-finish-reason', images: 1 }])
  const response = await generate(emulator)
  expect(response.candidates?.[0]?.finishReason).toBe('IMAGE_TOO_BEAUTIFUL')
  expect(partsOf(response)[0]?.inlineData?.mimeType).toBe('image/jpeg')
})

describe('a continuation', () => {
  test('is one request when the client does not continue by itself', async () => {
    emulator.script([{ name: 'continuation', times: 5 }])
    const response = await generate(emulator)
    expect(response.candidates?.[0]?.continuationToken).toBe('continue-from-here')
    expect(emulator.requests).toHaveLength(1)
  })

  test('is followed by the SDK if nobody stops it, and every hop is in the log', async () => {
    emulator.script([{ name: 'continuation', times: 3, images: 1 }])
    await generate(emulator, 'x', { config: { automaticContinuation: true } })
    expect(emulator.requests).toHaveLength(4)
    expect(emulator.requests[1]?.body).toMatchObject({ continuationToken: 'continue-from-here' })
  })
})

async function candidate(scenario: Scenario): Promise<unknown> {
  emulator.script([scenario])
  const response = await post(emulator, promptBody('x'))
  const body = (await response.json()) as { candidates: unknown[]; modelVersion: string }
  expect(body.modelVersion).toBe(NANO_BANANA)
  return body.candidates[0]
}
