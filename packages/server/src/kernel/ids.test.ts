import { expect, test } from 'vitest'
import { idOf, newRequestId, newUuid, parseId, uuidOf } from './ids.ts'

test('ids of one process sort in the order they were made', () => {
  const made = Array.from({ length: 20_000 }, () => newUuid())
  expect(made.toSorted()).toEqual(made)
  expect(new Set(made).size).toBe(made.length)
  expect(made[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('their outer form sorts like the inner one, and comes back', () => {
  const uuids = Array.from({ length: 1000 }, () => newUuid())
  const ids = uuids.map((uuid) => idOf('gen', uuid))
  expect(ids.toSorted()).toEqual(ids)
  for (const [index, id] of ids.entries()) {
    expect(id).toMatch(/^gen_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
    expect(parseId('gen', id)).toBe(uuids[index])
    expect(uuidOf(id)).toBe(uuids[index])
  }
})

test('a request id has its prefix', () => {
  expect(newRequestId()).toMatch(/^req_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
})

test.each([
  '',
  'x',
  'gen_',
  'gen',
  'key_01jd5xk3f8e2r9v7m6q4t0w1yz',
  '01jd5xk3f8e2r9v7m6q4t0w1yz',
  'gen_01jd5xk3f8e2r9v7m6q4t0w1y',
  'gen_01jd5xk3f8e2r9v7m6q4t0w1yzz',
  'gen_81jd5xk3f8e2r9v7m6q4t0w1yz',
  'gen_01JD5XK3F8E2R9V7M6Q4T0W1YZ',
  'gen_01jd5xk3f8e2r9v7m6q4t0w1yu',
  'GEN_01jd5xk3f8e2r9v7m6q4t0w1yz',
  ' gen_01jd5xk3f8e2r9v7m6q4t0w1yz',
  'gen_01jd5xk3f8e2r9v7m6q4t0w1yz\0',
  "gen_' or '1'='1",
])('%j is no id of a generation', (text) => {
  expect(parseId('gen', text)).toBeUndefined()
})
