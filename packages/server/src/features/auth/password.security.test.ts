import bcrypt from 'bcrypt'
import { describe, expect, test } from 'vitest'
import { checkNewPassword, createPasswordHasher } from './password.ts'

const code = async (password: string, email = 'ada.lovelace@x.example') =>
  (await checkNewPassword(password, { minLength: 8, email }))?.code

describe('AUTH-5: what is easy to guess is refused', () => {
  test.each([
    'password123',
    'PASSWORD123',
    'nanobanana',
    'NanoBanana',
    'aaaaaaaaaa',
    'aAaAaAaAaA',
    '🍌🍌🍌🍌🍌🍌🍌🍌',
    'ada.lovelace',
    'Ada.Lovelace',
    'ada.lovelace@x.example',
    'ADA.LOVELACE@X.EXAMPLE',
  ])('%s', async (password) => {
    expect(await code(password)).toBe('password_too_common')
  })

  test('also when the address is not in NFC', async () => {
    const email = 'jérôme.dupont@x.example'
    expect(await code('jérôme.dupont'.normalize('NFD'), email)).toBe('password_too_common')
    expect(await code('jérôme.dupont', email.normalize('NFD'))).toBe('password_too_common')
  })
})

/** Counts compares and the cost of what they are made with. */
const counted = (cost: number) => {
  const costs: number[] = []
  const compare = (password: string, hash: string) => {
    costs.push(bcrypt.getRounds(hash))
    return bcrypt.compare(password, hash)
  }
  const hasher = createPasswordHasher({
    cost,
    bcrypt: { hash: bcrypt.hash, compare } as typeof bcrypt,
  })
  return { hasher, costs }
}

describe('AUTH-2: every login runs one compare at the same cost', () => {
  test.each([
    ['a right password', 'a good password', true, true],
    ['a wrong password', 'something else', true, false],
    ['an unknown address', 'a good password', false, false],
    ['an over-long password', 'a good password'.repeat(9), true, false],
    ['an over-long password and an unknown address', 'a good password'.repeat(9), false, false],
    ['an empty password', '', true, false],
  ])('%s', async (_, password, known, ok) => {
    const { hasher, costs } = counted(5)
    const hash = known ? await hasher.hash('a good password') : null
    expect((await hasher.verify(password, hash)).ok).toBe(ok)
    expect(costs).toEqual([5])
  })
})

describe('AUTH-4: bcrypt reads 72 bytes, so longer passwords are never right', () => {
  const { hasher } = counted(4)

  test('a right start of 72 bytes does not pass', async () => {
    const password = 'x1'.repeat(36)
    const hash = await hasher.hash(password)
    expect((await hasher.verify(password, hash)).ok).toBe(true)
    expect((await hasher.verify(`${password}y`, hash)).ok).toBe(false)
    expect(await bcrypt.compare(`${password}y`, hash)).toBe(true)
  })

  test('a longer one is never hashed', async () => {
    await expect(hasher.hash('x1'.repeat(37))).rejects.toThrow(RangeError)
  })
})

test('the dummy hash is nobody’s password', async () => {
  const { hasher } = counted(4)
  for (const password of ['', 'password', 'null', 'undefined'])
    expect(await hasher.verify(password, null)).toEqual({ ok: false, needsRehash: false })
})

test('a damaged stored hash is a refusal, not a failure', async () => {
  const hasher = createPasswordHasher({ cost: 4 })
  for (const hash of ['', 'x', '$2b$12$short', '$1$abc'])
    expect(await hasher.verify('a good password', hash)).toEqual({ ok: false, needsRehash: false })
})
