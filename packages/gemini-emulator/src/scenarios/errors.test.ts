import type { ApiError } from '@google/genai'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { startEmulator } from '../emulator.ts'
import type { Emulator } from '../emulator.ts'
import { generate, rejection } from '../test-client.ts'
import type { ERROR_SCENARIOS } from './errors.ts'

interface Body {
  error: { code: number; message: string; status: string; details?: Record<string, unknown>[] }
}

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8 })
})
beforeEach(() => emulator.clearScript())
afterAll(() => emulator.close())

const EXPECTED: Record<keyof typeof ERROR_SCENARIOS, [status: number, code: string, text: string]> =
  {
    'bad-key': [400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.'],
    'key-not-found': [400, 'INVALID_ARGUMENT', 'API Key not found. Please pass a valid API key.'],
    'key-expired': [400, 'INVALID_ARGUMENT', 'API key expired. Please renew the API key.'],
    'bad-aspect-ratio': [400, 'INVALID_ARGUMENT', 'aspect_ratio must be one of'],
    'unknown-field': [400, 'INVALID_ARGUMENT', 'Unknown name "outputMimeType"'],
    'aspect-not-enabled': [400, 'INVALID_ARGUMENT', 'Aspect ratio is not enabled'],
    'thinking-level': [400, 'INVALID_ARGUMENT', 'Thinking level is not supported'],
    'invalid-argument': [400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.'],
    'invalid-image': [400, 'INVALID_ARGUMENT', 'Provided image is not valid'],
    'region-blocked': [400, 'FAILED_PRECONDITION', 'not available in your country.'],
    'permission-denied': [403, 'PERMISSION_DENIED', 'permission'],
    'model-not-found': [404, 'NOT_FOUND', 'is not found for API version v1,'],
    'entity-not-found': [404, 'NOT_FOUND', 'Requested entity was not found.'],
    'quota-per-minute': [429, 'RESOURCE_EXHAUSTED', 'Please retry in 34.4s.'],
    'quota-per-day': [429, 'RESOURCE_EXHAUSTED', 'Please retry in 34s.'],
    'quota-zero': [429, 'RESOURCE_EXHAUSTED', 'limit: 0'],
    'quota-bare': [429, 'RESOURCE_EXHAUSTED', 'exhausted'],
    internal: [500, 'INTERNAL', 'An internal error has occurred. Please retry or report'],
    overloaded: [503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'],
    'deadline-expired': [503, 'UNAVAILABLE', 'Deadline expired before operation could complete.'],
    'gateway-timeout': [504, 'DEADLINE_EXCEEDED', 'timed out'],
    error: [500, 'INTERNAL', 'Internal error'],
  }

test.each(Object.entries(EXPECTED))('%s reaches the SDK as an ApiError', async (name, expected) => {
  const [status, code, text] = expected
  emulator.script([name as keyof typeof EXPECTED])
  const error = (await rejection(generate(emulator))) as ApiError
  expect(error).toMatchObject({ name: 'ApiError', status })
  const body = JSON.parse(error.message) as Body
  expect(body.error).toMatchObject({ code: status, status: code })
  expect(body.error.message).toContain(text)
})

test.each([
  ['quota-per-minute', 'GenerateRequestsPerMinutePerProjectPerModel', '34.4s'],
  ['quota-per-day', 'GenerateRequestsPerDayPerProjectPerModel', '34s'],
  ['quota-zero', 'GenerateRequestsPerDayPerProjectPerModel-FreeTier', '34.921254606s'],
] as const)('%s says which quota and when to come back', async (name, quotaId, retryDelay) => {
  emulator.script([name])
  const [help, failure, retry] = await detailsOf(generate(emulator))
  expect(help?.['@type']).toBe('type.googleapis.com/google.rpc.Help')
  expect(failure).toMatchObject({ violations: [{ quotaId }] })
  expect(retry).toEqual({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay })
})

test('quota-bare has no details', async () => {
  emulator.script(['quota-bare'])
  expect(await detailsOf(generate(emulator))).toEqual([])
})

test('bad-key is marked by its reason', async () => {
  emulator.script(['bad-key'])
  const [info] = await detailsOf(generate(emulator))
  expect(info).toMatchObject({ reason: 'API_KEY_INVALID', domain: 'googleapis.com' })
})

test('the delay, text and status of an error can be set', async () => {
  emulator.script([
    { name: 'quota-per-minute', retryDelay: '0.05s' },
    { name: 'error', status: 501, code: 'UNIMPLEMENTED', message: 'Not here.' },
  ])
  const details = await detailsOf(generate(emulator))
  expect(details.at(-1)).toMatchObject({ retryDelay: '0.05s' })
  const error = await rejection(generate(emulator))
  expect(JSON.parse(error?.message ?? '')).toEqual({
    error: { code: 501, message: 'Not here.', status: 'UNIMPLEMENTED' },
  })
})

async function detailsOf(call: Promise<unknown>): Promise<Record<string, unknown>[]> {
  const body = JSON.parse((await rejection(call))?.message ?? '') as Body
  return body.error.details ?? []
}
