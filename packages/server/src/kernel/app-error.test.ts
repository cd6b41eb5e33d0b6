import { ERROR_CODES, ERRORS } from '@nanobanana/shared'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { AppError, fromZod, toAppError } from './app-error.ts'

test('every code renders the row of the table and nothing more', () => {
  for (const code of ERROR_CODES) {
    const error = new AppError(code, undefined, { cause: new Error('hidden') })
    expect(error.toBody('req_1')).toEqual({
      type: ERRORS[code].type,
      code,
      message: ERRORS[code].message,
      param: null,
      request_id: 'req_1',
    })
    const headers = error.toHeaders()
    expect(headers['x-should-retry']).toBe(String(ERRORS[code].retryable))
    expect(headers['www-authenticate']).toBe(ERRORS[code].status === 401 ? 'Bearer' : undefined)
    expect(headers['retry-after']).toBeUndefined()
  }
})

test.each([
  [0, '1'],
  [0.2, '1'],
  [1, '1'],
  [1.01, '2'],
  [-5, '1'],
  [900, '900'],
])('%d seconds to wait are Retry-After: %s', (retryAfterSeconds, expected) => {
  const error = new AppError('rate_limited', undefined, { retryAfterSeconds })
  expect(error.toHeaders()['retry-after']).toBe(expected)
})

test('headers of its own win over those of the row', () => {
  const headers = { 'x-should-retry': 'false', allow: 'GET' }
  expect(new AppError('login_throttled', undefined, { headers }).toHeaders()).toEqual(headers)
})

test.each([
  ['08006', 'unavailable'],
  ['53300', 'unavailable'],
  ['57014', 'unavailable'],
  ['57P01', 'unavailable'],
  ['55P03', 'unavailable'],
  ['25006', 'unavailable'],
  ['40001', 'unavailable'],
  ['40P01', 'unavailable'],
  ['22P02', 'internal'],
  ['23505', 'internal'],
  ['42P01', 'internal'],
  ['ECONNREFUSED', 'unavailable'],
  ['ECONNRESET', 'unavailable'],
  ['ENOENT', 'internal'],
])('a database error %s is %s, without its words', (code, expected) => {
  const cause = Object.assign(new Error('select secret from users'), { code })
  const error = toAppError(cause)
  expect(error).toMatchObject({ code: expected, message: ERRORS[error.code].message, cause })
  expect(error.retryAfterSeconds).toBe(expected === 'unavailable' ? 1 : undefined)
})

test.each([new Error('SECRET'), 'SECRET', null, undefined, { message: 'SECRET' }])(
  'anything else is internal with a fixed text: %s',
  (thrown) => {
    const error = toAppError(thrown)
    expect(error.toBody('r')).toMatchObject({ code: 'internal', message: ERRORS.internal.message })
    expect(error.cause).toBe(thrown)
  },
)

test('an AppError stays the one it is', () => {
  const error = new AppError('not_found')
  expect(toAppError(error)).toBe(error)
})

const Input = z.strictObject({ name: z.string(), list: z.array(z.strictObject({ n: z.int() })) })
const refusal = (input: unknown) => fromZod(Input.safeParse(input).error!)

test.each([
  [{ list: [] }, 'name'],
  [{ name: 'x', list: [{ n: 1 }, { n: 1.5 }] }, 'list.1.n'],
  [{ name: 'x', list: [], extra: 1 }, 'extra'],
  [{ name: 'x', list: [{ n: 1, extra: 1 }] }, 'list.0.extra'],
])('a schema’s refusal of %j names %s', (input, param) => {
  const error = refusal(input)
  expect(error).toMatchObject({ code: 'invalid_input', param })
  expect(error.message).toContain(param)
})

test('a refusal of the whole input names no field', () => {
  expect(refusal('text')).toMatchObject({ code: 'invalid_input', param: null })
})

test('a name from outside is bounded, one line and well-formed', () => {
  for (const name of ['x'.repeat(5000), 'a\r\nb', 'a\u2028b', 'a\u202eb', '\ud83c', 'a\u0000b']) {
    const { param, message } = refusal({ name: 'x', list: [], [name]: 1 })
    for (const text of [param ?? '', message]) {
      expect(text.length).toBeLessThanOrEqual(400)
      expect(text.isWellFormed()).toBe(true)
      expect(text).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u)
    }
  }
})
