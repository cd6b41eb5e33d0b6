import { ERROR_CODES, type ErrorCode, ERRORS } from '@nanobanana/shared/errors'
import { expect, test } from 'vitest'
import { fail, startStub } from '../test/stub.ts'
import * as sdk from './index.ts'

const { NanoBanana, NanoBananaError } = sdk

/** Calls against a stub that fails so, and answers the error. */
async function errorOf(
  status: number,
  body: Record<string, unknown>,
  headers?: Record<string, string>,
): Promise<sdk.NanoBananaError> {
  await using stub = await startStub((_, response) => fail(response, status, body, headers))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'token', maxRetries: 0 })
  const error = await client.generate({ prompt: 'x' }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(NanoBananaError)
  return error as sdk.NanoBananaError
}

const CLASS_OF: Record<(typeof ERRORS)[ErrorCode]['type'], typeof NanoBananaError> = {
  invalid_request_error: sdk.InvalidRequestError,
  authentication_error: sdk.AuthenticationError,
  budget_error: sdk.BudgetError,
  permission_error: sdk.PermissionDeniedError,
  not_found_error: sdk.NotFoundError,
  conflict_error: sdk.ConflictError,
  content_error: sdk.ContentError,
  upstream_error: sdk.UpstreamError,
  rate_limit_error: sdk.RateLimitError,
  api_error: sdk.ApiError,
  unavailable_error: sdk.UnavailableError,
}

test.each(ERROR_CODES)('%s rejects with the class of its type', async (code) => {
  const { status, type, message, retryable } = ERRORS[code]
  const error = await errorOf(status, { code, type, message, param: 'a.b' })
  const { constructor } = error
  expect(constructor).toBe(CLASS_OF[type])
  expect(error.name).toBe(constructor.name)
  expect(error).toMatchObject({ code, type, message, status, param: 'a.b', shouldRetry: retryable })
})

test('an error carries what the headers say', async () => {
  const error = await errorOf(
    503,
    { code: 'upstream_unavailable', type: 'unavailable_error', message: 'Later.' },
    {
      'x-request-id': 'req_header',
      'x-generation-id': 'gen_1',
      'retry-after': '7',
      'x-should-retry': 'false',
    },
  )
  expect(error).toMatchObject({
    requestId: 'req_header',
    generationId: 'gen_1',
    retryAfterMs: 7000,
    shouldRetry: false,
    param: null,
  })
})

test('without those headers the body and the table answer', async () => {
  const error = await errorOf(429, { code: 'rate_limited', type: 'rate_limit_error' })
  expect(error).toMatchObject({ requestId: 'req_body', shouldRetry: true })
  expect(error.generationId).toBeUndefined()
  expect(error.retryAfterMs).toBeUndefined()
})

test('reads a date as Retry-After, and one in the past as no wait', async () => {
  const body = { code: 'rate_limited', type: 'rate_limit_error' }
  const inAMinute = new Date(Date.now() + 60_000).toUTCString()
  const later = await errorOf(429, body, { 'retry-after': inAMinute })
  expect(later.retryAfterMs).toBeGreaterThan(50_000)
  expect(later.retryAfterMs).toBeLessThanOrEqual(60_000)
  const past = await errorOf(429, body, { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' })
  expect(past.retryAfterMs).toBe(0)
  const nonsense = await errorOf(429, body, { 'retry-after': 'soon' })
  expect(nonsense.retryAfterMs).toBeUndefined()
})

test('an error of a newer service keeps its code and type', async () => {
  const error = await errorOf(418, { code: 'too_ripe', type: 'constructor' })
  expect(error.constructor).toBe(NanoBananaError)
  expect(error).toMatchObject({
    code: 'too_ripe',
    type: 'constructor',
    status: 418,
    shouldRetry: false,
  })
  const known = await errorOf(503, { code: 'too_ripe', type: 'unavailable_error' })
  expect(known).toBeInstanceOf(sdk.UnavailableError)
  expect(known.shouldRetry).toBe(true)
})
