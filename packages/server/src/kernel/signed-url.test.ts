import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { isSigned, signPath } from './signed-url.ts'

const KEY = randomBytes(32)
const NOW = new Date('2026-11-23T00:00:00Z')
const SIGNED = { path: '/files/u/1/2.png', expires: NOW.getTime() / 1000 + 60 }

const signatureOf = (signed = SIGNED, key: Uint8Array = KEY) => {
  const { exp, sig } = Object.fromEntries(new URLSearchParams(signPath(key, signed)))
  expect(exp).toBe(String(signed.expires))
  return sig!
}
const check = (changes: Partial<typeof SIGNED> = {}, signature = signatureOf(), now = NOW) =>
  isSigned([KEY], { ...SIGNED, ...changes }, signature, now)

test('a signature opens its path until it expires', () => {
  expect(check()).toBe(true)
  expect(check({}, signatureOf(), new Date(SIGNED.expires * 1000 - 1))).toBe(true)
  expect(check({}, signatureOf(), new Date(SIGNED.expires * 1000))).toBe(false)
})

test('OUT-4: it opens nothing else', () => {
  expect(check({ path: '/files/u/1/3.png' })).toBe(false)
  expect(check({ path: '/files/u/1/2.png/' })).toBe(false)
  expect(check({ expires: SIGNED.expires + 1 })).toBe(false)
  expect(check({ expires: Number.NaN })).toBe(false)
})

test('OUT-4: it cannot be made without the key, nor cut short', () => {
  expect(check({}, signatureOf(SIGNED, randomBytes(32)))).toBe(false)
  const signature = signatureOf()
  const other = signature.startsWith('A') ? 'B' : 'A'
  for (const bad of ['', signature.slice(0, 42), `${signature}A`, other + signature.slice(1)])
    expect(check({}, bad)).toBe(false)
  expect(isSigned([], SIGNED, signature, NOW)).toBe(false)
})

test('JWT-4: what an older key signed stays good while it is listed', () => {
  const newer = randomBytes(32)
  expect(isSigned([newer, KEY], SIGNED, signatureOf(), NOW)).toBe(true)
  expect(isSigned([newer], SIGNED, signatureOf(), NOW)).toBe(false)
})

test('path and time cannot flow into each other', () => {
  const shifted = { path: `${SIGNED.path}\n1`, expires: SIGNED.expires }
  expect(check(shifted)).toBe(false)
  expect(signatureOf({ path: '/a', expires: 11 })).not.toBe(
    signatureOf({ path: '/a\n1', expires: 1 }),
  )
})
