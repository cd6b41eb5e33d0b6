import bcrypt from 'bcrypt'
import { describe, expect, test } from 'vitest'
import { isCommonPassword } from './common-passwords.ts'
import {
  bcryptSlots,
  checkNewPassword,
  createPasswordHasher,
  normalisePassword,
} from './password.ts'

const check = async (password: string, minLength = 8, email = 'ada.lovelace@x.example') =>
  (await checkNewPassword(password, { minLength, email }))?.code

const PARTY = '🎉'

describe('a new password', () => {
  test.each([
    ['1a!qZx7', 'password_too_short'],
    ['1a!qZx7p', undefined],
    [PARTY.repeat(4), 'password_too_short'],
    ['🎉🎈🍌🐒🌴🥥🍍🥭', undefined],
    ['        ', 'password_too_common'],
    [' a b c d', undefined],
    ['пароль-длинный', undefined],
    ['x1'.repeat(36), undefined],
    [`${'x1'.repeat(36)}y`, 'password_too_long'],
    ['🎉🎈'.repeat(9), undefined],
    [`${'🎉🎈'.repeat(9)}🍌`, 'password_too_long'],
    ['', 'password_too_short'],
  ])('%j gives %s', async (password, code) => {
    expect(await check(password)).toBe(code)
  })

  test('is measured in NFC', async () => {
    const decomposed = 'é'.normalize('NFD')
    expect(await check(`${decomposed.repeat(7)}`)).toBe('password_too_short')
    expect(await check(`a${decomposed}`.repeat(24))).toBeUndefined()
  })

  test('PASSWORD_MIN_LENGTH moves the bound', async () => {
    expect(await check('seventeen-is-ok', 16)).toBe('password_too_short')
    expect(await check('seventeen-is-okay', 16)).toBeUndefined()
  })

  test('the message tells the bound and the reason', async () => {
    const message = async (password: string) =>
      (await checkNewPassword(password, { minLength: 15, email: 'a@x.example' }))?.message
    expect(await message('short')).toContain('15')
    expect(await message('x1'.repeat(40))).toContain('72')
    expect(await message('111111111111111')).toContain('one character')
    const common = await checkNewPassword('password123', { minLength: 8, email: 'a@x.example' })
    expect(common?.message).toContain('10,000')
  })
})

test('the list holds 10 000 passwords of the least length and ignores case', async () => {
  for (const password of ['password123', 'PassWord123', 'qwertyuiop', '12345678', 'iloveyou1'])
    expect(await isCommonPassword(password)).toBe(true)
  expect(await isCommonPassword('horse battery staple')).toBe(false)
})

describe('hashing', () => {
  test('AUTH-3: the stored form is bcrypt 2b at the given cost', async () => {
    const hasher = createPasswordHasher({ cost: 12 })
    expect(await hasher.hash('a good password')).toMatch(/^\$2b\$12\$[./0-9A-Za-z]{53}$/)
  })

  test('a right password is ok, a wrong one is not', async () => {
    const hasher = createPasswordHasher({ cost: 4 })
    const hash = await hasher.hash('a good password')
    expect(await hasher.verify('a good password', hash)).toEqual({ ok: true, needsRehash: false })
    expect(await hasher.verify('a good passwort', hash)).toEqual({ ok: false, needsRehash: false })
  })

  test('a hash of a lower cost asks for a new one, after a right password only', async () => {
    const hash = await createPasswordHasher({ cost: 4 }).hash('a good password')
    const hasher = createPasswordHasher({ cost: 5 })
    expect(await hasher.verify('a good password', hash)).toEqual({ ok: true, needsRehash: true })
    expect(await hasher.verify('wrong', hash)).toEqual({ ok: false, needsRehash: false })
    const dearer = await createPasswordHasher({ cost: 6 }).hash('a good password')
    expect(await hasher.verify('a good password', dearer)).toEqual({ ok: true, needsRehash: false })
  })

  test('AUTH-6: composed and decomposed are one password', async () => {
    const hasher = createPasswordHasher({ cost: 4 })
    const hash = await hasher.hash('café au lait'.normalize('NFC'))
    expect((await hasher.verify('café au lait'.normalize('NFD'), hash)).ok).toBe(true)
    expect(normalisePassword('e\u0301')).toBe('\u00e9')
  })
})

const OVERLOADED = { code: 'overloaded', retryAfterSeconds: 1 }

describe('load', () => {
  const slow = () => {
    const ends: Array<() => void> = []
    let most = 0
    const compare = async () => {
      await new Promise<void>((resolve) => {
        ends.push(resolve)
        most = Math.max(most, ends.length)
      })
      return true
    }
    return { bcrypt: { hash: () => Promise.resolve('dummy'), compare }, ends, most: () => most }
  }
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5))

  test('no more run at once than allowed, and the others follow in order', async () => {
    const { bcrypt, ends, most } = slow()
    const hasher = createPasswordHasher({ cost: 4, maxInFlight: 2, bcrypt })
    const order: number[] = []
    const all = [0, 1, 2, 3, 4].map((n) => hasher.verify('x', 'h').then(() => order.push(n)))
    for (let left = 5; left > 0; left--) {
      await settle()
      ends.shift()?.()
    }
    await Promise.all(all)
    expect(order).toEqual([0, 1, 2, 3, 4])
    expect(most()).toBe(2)
  })

  test('a full queue refuses at once, and room is used again', async () => {
    const { bcrypt, ends } = slow()
    const hasher = createPasswordHasher({ cost: 4, maxInFlight: 1, maxQueued: 1, bcrypt })
    const first = hasher.verify('x', 'h')
    const second = hasher.verify('x', 'h')
    await expect(hasher.verify('x', 'h')).rejects.toMatchObject(OVERLOADED)
    await expect(hasher.hash('x')).rejects.toMatchObject(OVERLOADED)
    ends.shift()?.()
    await first
    await settle()
    ends.shift()?.()
    expect((await second).ok).toBe(true)
    const third = hasher.verify('x', 'h')
    await settle()
    ends.shift()?.()
    expect((await third).ok).toBe(true)
  })

  test('who waits too long is refused and leaves its place', async () => {
    const { bcrypt, ends } = slow()
    const hasher = createPasswordHasher({
      cost: 4,
      maxInFlight: 1,
      maxQueued: 1,
      maxWaitMs: 20,
      bcrypt,
    })
    const first = hasher.verify('x', 'h')
    await expect(hasher.verify('x', 'h')).rejects.toMatchObject(OVERLOADED)
    const next = hasher.verify('x', 'h')
    ends.shift()?.()
    await first
    await settle()
    ends.shift()?.()
    expect((await next).ok).toBe(true)
  })

  test('a failed task frees its slot', async () => {
    const compare = () => Promise.reject(new Error('broken'))
    const hasher = createPasswordHasher({
      cost: 4,
      maxInFlight: 1,
      bcrypt: { hash: bcrypt.hash, compare },
    })
    for (let n = 0; n < 3; n++) await expect(hasher.verify('x', 'h')).rejects.toThrow('broken')
  })

  test.each([
    [4, 1, 2],
    [4, 2, 2],
    [4, 4, 3],
    [4, 64, 3],
    [16, 8, 7],
    [2, 8, 1],
    [1, 8, 1],
  ])('AUTH-10: a pool of %i threads on %i cores runs %i', (threads, cores, expected) => {
    expect(bcryptSlots(threads, cores)).toBe(expected)
  })
})
