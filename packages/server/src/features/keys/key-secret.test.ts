import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { digestOf, displayPrefix, generateKey, hasKeyForm, matchesStored } from './key-secret.ts'

const PEPPER = { id: 'p', bytes: Buffer.alloc(32, 7) }
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

test('KEY-1: a key is its mode and 32 base62 characters', () => {
  expect(generateKey('live')).toMatch(/^nb_live_[0-9A-Za-z]{32}$/)
  expect(generateKey('test')).toMatch(/^nb_test_[0-9A-Za-z]{32}$/)
})

test('KEY-1: 10^6 generated characters are spread evenly over all 62', () => {
  const counts = new Map<string, number>()
  const keys = 31_250
  for (let n = 0; n < keys; n++) {
    for (const char of generateKey('live').slice(8)) counts.set(char, (counts.get(char) ?? 0) + 1)
  }
  expect([...counts.keys()].toSorted()).toEqual([...ALPHABET].toSorted())
  const expected = (keys * 32) / 62
  const chiSquare = [...counts.values()].reduce(
    (sum, count) => sum + (count - expected) ** 2 / expected,
    0,
  )
  // 61 degrees of freedom: a fair source is above 131 once in a million runs. A byte modulo 62
  // would come to about 2900.
  expect(chiSquare).toBeLessThan(131)
})

test('KEY-1: each place of the key is as random as the others', () => {
  const seen = Array.from({ length: 32 }, () => new Set<string>())
  for (let n = 0; n < 3000; n++) {
    const random = generateKey('live').slice(8)
    for (const [place, chars] of seen.entries()) chars.add(random.charAt(place))
  }
  expect(seen.map((chars) => chars.size)).toEqual(seen.map(() => 62))
})

test.each([
  ['', false],
  ['nb_live_', false],
  [`nb_live_${'a'.repeat(32)}`, true],
  [`nb_test_${'Z9'.repeat(16)}`, true],
  [`nb_live_${'a'.repeat(31)}`, false],
  [`nb_live_${'a'.repeat(33)}`, false],
  [`nb_prod_${'a'.repeat(32)}`, false],
  [`NB_LIVE_${'a'.repeat(32)}`, false],
  [` nb_live_${'a'.repeat(32)}`, false],
  [`nb_live_${'a'.repeat(32)}\n`, false],
  [`nb_live_${'a'.repeat(31)}-`, false],
  [`nb_live_${'a'.repeat(31)}é`, false],
  [`nb_live_${'a'.repeat(31)}\0`, false],
  ["' OR '1'='1", false],
])('KEY-1: %j has the form of a key: %s', (text, expected) => {
  expect(hasKeyForm(text)).toBe(expected)
})

test('KEY-4: the shown prefix has four of the random characters', () => {
  expect(displayPrefix(`nb_live_${'abcd'.repeat(8)}`)).toBe('nb_live_abcd...')
})

test('KEY-2: a digest is keyed by the pepper and covers the whole key', () => {
  const key = generateKey('live')
  const digest = digestOf(key, PEPPER)
  expect(digest).toHaveLength(32)
  expect(digest).toEqual(digestOf(key, PEPPER))
  expect(digest).not.toEqual(createHash('sha256').update(key).digest())
  expect(digest).not.toEqual(digestOf(key, { id: 'p', bytes: Buffer.alloc(32, 8) }))
  expect(digest).not.toEqual(digestOf(key.replace('nb_live_', 'nb_test_'), PEPPER))
})

test('KEY-2: only the very digest matches', () => {
  const [one, other] = [digestOf('a', PEPPER), digestOf('b', PEPPER)]
  expect(matchesStored([other, one], one)).toBe(true)
  expect(matchesStored([one], other)).toBe(false)
  expect(matchesStored([one], one.subarray(0, 31))).toBe(false)
  expect(matchesStored([one], new Uint8Array())).toBe(false)
  expect(matchesStored([], one)).toBe(false)
})
