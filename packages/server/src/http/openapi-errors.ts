import { ERROR_CODES, ERRORS } from '@nanobanana/shared'

type Json = Record<string, unknown>

/** Named headers of the document, used by reference. */
export const HEADERS = {
  RequestId: {
    description: 'Id of this request; name it when you ask for help.',
    schema: { type: 'string', examples: ['req_01jd5xk3f8e2r9v7m6q4t0w1yz'] },
  },
  ShouldRetry: {
    description: 'Whether the same request can succeed later.',
    schema: { type: 'string', enum: ['true', 'false'] },
  },
  RetryAfter: {
    description: 'Seconds to wait before the next try.',
    schema: { type: 'integer', minimum: 1 },
  },
  RateLimitPolicy: {
    description:
      'Limits of the caller: `q` requests in `w` seconds, for the key and for the account. On every answer to a caller who is known.',
    schema: { type: 'string', examples: ['"key";q=60;w=60, "account";q=300;w=60'] },
  },
  RateLimit: {
    description: 'What is left of each: `r` requests, and all of them again in `t` seconds.',
    schema: { type: 'string', examples: ['"key";r=59;t=42, "account";r=297;t=42'] },
  },
  WwwAuthenticate: {
    description: 'The scheme to authenticate by.',
    schema: { type: 'string', const: 'Bearer' },
  },
  GenerationId: {
    description: 'Id of the generation, once it is recorded.',
    schema: { type: 'string', examples: ['gen_01jd5xk3f8e2r9v7m6q4t0w1yz'] },
  },
  GenerationLocation: {
    description: 'Path of the generation, once it is recorded.',
    schema: { type: 'string', examples: ['/v1/generations/gen_01jd5xk3f8e2r9v7m6q4t0w1yz'] },
  },
  PreferenceApplied: {
    description: 'What of `Prefer` was heeded.',
    schema: { type: 'string', examples: ['respond-async', 'wait=30'] },
  },
  IdempotentReplayed: {
    description:
      'Present where the answer is that of an earlier request with this Idempotency-Key.',
    schema: { type: 'string', const: 'true' },
  },
}

export const header = (name: keyof typeof HEADERS) => ({ $ref: `#/components/headers/${name}` })

export const LIMIT_HEADERS = {
  'RateLimit-Policy': header('RateLimitPolicy'),
  RateLimit: header('RateLimit'),
}

/** References to the error answers of these statuses. */
export const errorResponses = (statuses: readonly number[]): Record<string, Json> =>
  Object.fromEntries(
    statuses.map((status) => [
      String(status),
      { $ref: `#/components/responses/${responseName(status)}` },
    ]),
  )

const responseName = (status: number) => `Error${status}`

/** The error answers a document refers to, one for each status. */
export const errorComponents = (statuses: readonly number[]): Record<string, Json> =>
  Object.fromEntries(statuses.map((status) => [responseName(status), errorResponse(status)]))

/** Statuses of which some or all codes say when to try again. */
const RETRYABLE = new Set([409, 429, 503])

function errorResponse(status: number): Json {
  return {
    description: `Codes: ${codesOf(status).join(', ')}.`,
    headers: {
      'X-Request-Id': header('RequestId'),
      'X-Should-Retry': header('ShouldRetry'),
      ...LIMIT_HEADERS,
      ...(status === 401 ? { 'WWW-Authenticate': header('WwwAuthenticate') } : {}),
      ...(RETRYABLE.has(status) ? { 'Retry-After': header('RetryAfter') } : {}),
    },
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  }
}

const codesOf = (status: number): string[] =>
  ERROR_CODES.filter((code) => ERRORS[code].status === status).map((code) => `\`${code}\``)

/** The schema of every error answer. */
export function errorSchema(): Json {
  const types = [...new Set(ERROR_CODES.map((code) => ERRORS[code].type))]
  const properties = {
    type: { type: 'string', enum: types },
    code: { type: 'string', enum: ERROR_CODES },
    message: { type: 'string', description: 'One sentence a person can act on.' },
    param: { type: ['string', 'null'], description: 'Path of the offending field.' },
    request_id: { type: 'string', description: 'Equal to the header X-Request-Id.' },
  }
  return {
    type: 'object',
    description: 'The one error shape.',
    properties: {
      error: { type: 'object', properties, required: Object.keys(properties) },
    },
    required: ['error'],
  }
}
