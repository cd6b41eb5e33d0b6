import { expect, test } from 'vitest'
import { MAX_BODY_BYTES, payloadOf } from './payload.ts'
import { sampleGeneration } from './sample.ts'

const at = new Date('2026-11-23T09:30:00.000Z')
const payload = (changes: object) => {
  const data = { ...sampleGeneration('https://nanobanana.test', at), ...changes }
  const body = payloadOf('generation.succeeded', at, data)
  return { body, data, json: JSON.parse(body) as Record<string, unknown> }
}

test('a body is the type, the time of the event and the generation', () => {
  const { json, data } = payload({ prompt: 'p'.repeat(8192) })
  expect(json).toEqual({
    type: 'generation.succeeded',
    timestamp: '2026-11-23T09:30:00.000Z',
    data,
  })
})

const metadata = Object.fromEntries(
  Array.from({ length: 16 }, (_, n) => [`${n}`.padEnd(64, 'k'), '🍌'.repeat(512)]),
)

test.each([
  [{ text: '🍌'.repeat(20_000) }, ['text']],
  [{ prompt: '🍌'.repeat(8192), metadata }, ['text', 'prompt']],
  [{ text: '"'.repeat(100_000), prompt: '🍌'.repeat(8192), metadata }, ['text', 'prompt']],
  [
    { prompt: '🍌'.repeat(8192), metadata: { ...metadata, more: '🍌'.repeat(8192) } },
    ['text', 'prompt', 'metadata'],
  ],
])('what is too large is cut in order, and marked', (changes, truncated) => {
  const { body, json } = payload(changes)
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(MAX_BODY_BYTES)
  expect(json['truncated']).toEqual(truncated)
  expect(body.isWellFormed()).toBe(true)
})
