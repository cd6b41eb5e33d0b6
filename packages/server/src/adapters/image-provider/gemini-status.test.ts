import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromStatus } from './gemini-status.ts'

const read = (error: object, more: object = {}) =>
  fromStatus(429, JSON.stringify({ error, ...more }), undefined)
const retryInfo = (retryDelay: unknown) => ({ message: '', details: [{}, { retryDelay }] })

describe('the delay of a 429', () => {
  test.each([
    ['34s', 34_000],
    ['34.4s', 34_400],
    ['0s', 0],
    ['99999999999999999999s', 3_600_000],
    ['-1s', undefined],
    ['34', undefined],
    ['1m', undefined],
    [34, undefined],
    [null, undefined],
  ])('%j is %s ms', (retryDelay, ms) => {
    expect(read(retryInfo(retryDelay))).toMatchObject({ retryAfterMs: ms, pauseMs: ms })
  })

  test('comes from the details before the words before the header', () => {
    const message = 'Too many. Please retry in 34.921254606s.'
    const header = { retryAfter: '7' }
    expect(read({ ...retryInfo('2s'), message }, header).pauseMs).toBe(2000)
    expect(read({ message }, header).pauseMs).toBeCloseTo(34_921.254_606)
    expect(read({ message: 'Too many.' }, header).pauseMs).toBe(7000)
    expect(read({}).pauseMs).toBeUndefined()
  })

  test('is also found where the SDK wrapped the body once more', () => {
    const inner = JSON.stringify({ error: retryInfo('3s') })
    expect(read({ code: 429, message: inner }).pauseMs).toBe(3000)
  })

  test('does not count where the quota never clears', () => {
    for (const message of ['limit: 0, model: x', 'GenerateRequestsPerDayPerProject', 'per day'])
      expect(read({ ...retryInfo('1s'), message })).toMatchObject({
        code: 'upstream_failed',
        repeats: 0,
        alarm: expect.any(String),
      })
    expect(read({ message: 'limit: 10, PerMinute' }).code).toBe('upstream_rate_limited')
  })
})

test('any status with any body means something', () => {
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((error) => `{"error":${error}}`),
  )
  fc.assert(
    fc.property(fc.integer({ min: 400, max: 599 }), body, (status, text) => {
      const { code, message, repeats } = fromStatus(status, text, undefined)
      expect(code).toMatch(/^upstream_(failed|unavailable|timeout|rate_limited)$/)
      expect(message).toMatch(/^The provider/)
      expect(repeats).toBeLessThanOrEqual(status < 500 && status !== 429 ? 0 : 2)
    }),
  )
})
