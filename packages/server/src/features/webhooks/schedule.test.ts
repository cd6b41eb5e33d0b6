import { expect, test } from 'vitest'
import { delayAfter, LAST_STEP } from './schedule.ts'

const middle = () => 0.5

test('ten attempts, at the delays that are promised', () => {
  const delays = Array.from({ length: 10 }, (_, step) => delayAfter(step, undefined, middle))
  expect(delays).toEqual([5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, undefined])
  expect(delayAfter(LAST_STEP, 60)).toBeUndefined()
})

test('jitter takes or gives up to a fifth', () => {
  expect(delayAfter(1, undefined, () => 0)).toBe(240)
  expect(delayAfter(1, undefined, () => 1)).toBe(360)
})

test('Retry-After puts it off, up to a day, and never brings it nearer', () => {
  expect(delayAfter(0, 120, middle)).toBe(120)
  expect(delayAfter(1, 120, middle)).toBe(300)
  expect(delayAfter(0, 999_999_999, middle)).toBe(86_400)
})
