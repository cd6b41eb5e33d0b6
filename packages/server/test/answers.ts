import { ERROR_CODES, ERRORS, type ErrorBody, type ErrorCode } from '@nanobanana/shared'
import { expect } from 'vitest'
import { z } from 'zod'
import type { TestResponse } from './harness.ts'

/** One line a person can read: no line breaks, no controls, nothing ill-formed. */
const line = z
  .string()
  .max(400)
  .refine((text) => text.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))

const Body = z.strictObject({
  type: z.enum([...new Set(Object.values(ERRORS).map((row) => row.type))]),
  code: z.enum(ERROR_CODES),
  message: line.min(1),
  param: line.nullable(),
  request_id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
})

const RestError = z.strictObject({ error: Body })

const TrpcError = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    code: z.int().max(-32_000),
    data: z.strictObject({
      code: z.string(),
      httpStatus: z.int(),
      path: z.string().optional(),
      error: Body,
    }),
  }),
})

/** Headers that every answer carries. */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
}

type Answer = Pick<TestResponse, 'status' | 'headers' | 'text'>

/** The error in an answer, once its shape, status and headers are what every error's must be. */
export function errorIn(answer: Answer, face: 'rest' | 'trpc' = 'rest'): ErrorBody {
  const json: unknown = JSON.parse(answer.text)
  const error =
    face === 'rest' ? RestError.parse(json).error : TrpcError.parse(json).error.data.error
  const row = ERRORS[error.code]
  expect({ status: answer.status, type: error.type }).toEqual({
    status: row.status,
    type: row.type,
  })
  expect(answer.headers).toMatchObject(SECURITY_HEADERS)
  expect(answer.headers['content-type']).toMatch(/^application\/json(?:; charset=utf-8)?$/)
  expect(answer.headers['x-request-id']).toBe(error.request_id)
  expect(answer.headers['x-should-retry']).toMatch(/^(?:true|false)$/)
  if (row.status === 401) expect(answer.headers['www-authenticate']).toBe('Bearer')
  return error
}

/** What two refusals must have in common to be indistinguishable. */
export const anonymous = ({ status, text, headers }: Answer) => ({
  status,
  text: text.replaceAll(/"request_id":"[^"]*"/g, ''),
  headers: Object.keys(headers).toSorted(),
})

export const codeIn = (answer: Answer, face: 'rest' | 'trpc' = 'rest'): ErrorCode =>
  errorIn(answer, face).code
