import type { GenerateContentResponse } from '@google/genai'
import { expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import type { Emulator } from './emulator.ts'
import type { ScenarioInput } from './scenario.ts'
import { createClient, NANO_BANANA, partsOf, post, promptBody, rejection } from './test-client.ts'

const STREAM = `/v1/models/${NANO_BANANA}:streamGenerateContent`

test('a stream brings small texts, one whole picture and a closing event without parts', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8 })
  const events = await stream(emulator)
  const images = events.filter((event) => partsOf(event).some((part) => part.inlineData))
  expect(images).toHaveLength(1)
  const text = events
    .flatMap(partsOf)
    .map((part) => part.text ?? '')
    .join('')
  expect(text).toBe('Here is the picture you asked for.')
  const last = events.at(-1)
  expect(last?.candidates?.[0]?.finishReason).toBe('STOP')
  expect(last && partsOf(last)).toEqual([])
  expect(last?.usageMetadata?.candidatesTokenCount).toBe(1283)
  expect(new Set(events.map((event) => event.responseId)).size).toBe(1)
})

test('a stream without alt=sse is a JSON array', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8 })
  const response = await post(emulator, promptBody('x'), STREAM)
  expect(response.headers.get('content-type')).toBe('application/json; charset=UTF-8')
  expect(await response.json()).toHaveLength(5)
})

test('a refusal is one event', async () => {
  await using emulator = await startEmulator({ scenario: 'refused-silent' })
  const events = await stream(emulator)
  expect(events.map((event) => event.candidates?.[0]?.finishReason)).toEqual(['IMAGE_SAFETY'])
})

test('an error comes as plain JSON under text/event-stream', async () => {
  await using emulator = await startEmulator({ scenario: 'overloaded' })
  const response = await post(emulator, promptBody('x'), `${STREAM}?alt=sse`)
  expect(response.status).toBe(503)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(await response.json()).toMatchObject({ error: { status: 'UNAVAILABLE' } })
  // The SDK wraps such a body once more: JSON inside JSON.
  const error = await rejection(stream(emulator))
  const outer = JSON.parse(error?.message ?? '') as { error: { message: string } }
  expect(JSON.parse(outer.error.message)).toMatchObject({ error: { code: 503 } })
})

test.each<[ScenarioInput, string]>([
  ['stream-error', 'got status: UNAVAILABLE'],
  ['truncated', 'Incomplete JSON segment at the end'],
  ['reset-mid-body', 'terminated'],
  ['ok-with-error', 'got status: UNAVAILABLE'],
])('%s ends a stream with an error', async (scenario, message) => {
  await using emulator = await startEmulator({ signatureBytes: 8, scenario })
  expect((await rejection(stream(emulator)))?.message).toContain(message)
})

test('stream-no-finish ends without a finishReason and without an error', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8, scenario: 'stream-no-finish' })
  const events = await stream(emulator)
  expect(events.some((event) => event.candidates?.[0]?.finishReason)).toBe(false)
})

async function stream(emulator: Emulator): Promise<GenerateContentResponse[]> {
  const events: GenerateContentResponse[] = []
  const iterator = await createClient(emulator).models.generateContentStream({
    model: NANO_BANANA,
    contents: 'a banana',
    config: { automaticContinuation: false },
  })
  for await (const event of iterator) events.push(event)
  return events
}
