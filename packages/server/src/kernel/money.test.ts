import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { microsOf, microsOrNull, usdOf, usdOrNull } from './money.ts'

test.each([
  [0, 0],
  [1, 0.000001],
  [50_412, 0.050412],
  [999_999_999_999, 999_999.999999],
])('%i micro-dollars are $%d', (micros, usd) => {
  expect(usdOf(micros)).toBe(usd)
  expect(microsOf(usd)).toBe(micros)
})

test('what lies between two micro-dollars is rounded to the nearest', () => {
  expect([0.0000004, 0.0000005, 0.0000016].map(microsOf)).toEqual([0, 1, 2])
  expect(microsOf(0.1 + 0.2)).toBe(300_000)
})

test('no limit is null on both sides', () => {
  expect([microsOrNull(null), microsOrNull(undefined), usdOrNull(null)]).toEqual([null, null, null])
  expect([microsOrNull(0), usdOrNull(0)]).toEqual([0, 0])
})

test('property: an amount up to a million dollars survives the way out and back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1e12 }), (micros) => {
      expect(microsOf(usdOf(micros))).toBe(micros)
    }),
  )
})
