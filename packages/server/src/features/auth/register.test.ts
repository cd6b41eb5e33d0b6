import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

let people = 0
const PASSWORD = 'correct horse battery'
const newEmail = () => `newcomer${++people}@example.com`

const register = (fields: Record<string, unknown> = {}, on = app) =>
  on.request('POST', '/v1/auth/register', {
    body: { email: newEmail(), password: PASSWORD, ...fields },
  })
const login = (email: string, password: string) =>
  app.request('POST', '/v1/auth/login', { body: { email, password } })

describe('registering', () => {
  test('answers the account, without a secret and uncached', async () => {
    const email = `  Ada.${newEmail()} `
    const { status, json, headers } = await register({ email, name: 'Ada 🍌' })
    expect(status).toBe(201)
    expect(json).toEqual({
      id: expect.stringMatching(/^user_[0-7][0-9a-hjkmnp-tv-z]{25}$/),
      email: email.trim(),
      name: 'Ada 🍌',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
    expect(headers['cache-control']).toBe('no-store')
  })

  test('lets the newcomer log in under any spelling of the address', async () => {
    const email = newEmail()
    await register({ email })
    for (const spelling of [email, email.toUpperCase(), ` ${email} `])
      expect((await login(spelling, PASSWORD)).status).toBe(200)
  })

  test('refuses a taken address as 409 and changes nothing', async () => {
    const email = newEmail()
    await register({ email })
    const again = await register({ email: email.toUpperCase(), password: 'another password' })
    expect(again.status).toBe(409)
    expect(again.json.error).toMatchObject({ code: 'email_taken', param: 'email' })
    expect(again.headers['x-should-retry']).toBe('false')
    expect((await login(email, 'another password')).status).toBe(401)
    expect((await login(email, PASSWORD)).status).toBe(200)
  })

  test.each([
    [{ email: 'no address' }, 'email'],
    [{ email: 'a@b@example.com' }, 'email'],
    [{ email: 'a@example.com\r\nBcc: b@example.com' }, 'email'],
    [{ email: 7 }, 'email'],
    [{ email: undefined }, 'email'],
    [{ password: undefined }, 'password'],
    [{ password: 'with a \0 inside' }, 'password'],
    [{ password: 'with half a pair \ud83c' }, 'password'],
    [{ name: '' }, 'name'],
    [{ name: '   ' }, 'name'],
    [{ name: 'n'.repeat(65) }, 'name'],
    [{ age: 36 }, 'age'],
  ])('refuses %j as invalid input that names the field', async (fields, param) => {
    const { status, json } = await register(fields)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })
})

describe('AUTH-4: 72 bytes of UTF-8 in NFC are the longest password', () => {
  test.each([
    ['72 ASCII characters', 'x1'.repeat(36)],
    ['18 emoji of four bytes', '🎉🎈'.repeat(9)],
    ['é of two characters, 72 bytes once composed', 'ae\u0301'.repeat(24)],
  ])('%s are taken', async (_, password) => {
    const email = newEmail()
    expect((await register({ email, password })).status).toBe(201)
    expect((await login(email, password)).status).toBe(200)
  })

  test.each([
    ['73 ASCII characters', `${'x1'.repeat(36)}y`],
    ['19 emoji', `${'🎉🎈'.repeat(9)}🍌`],
  ])('%s are refused with the limit named', async (_, password) => {
    const { status, json } = await register({ password })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'password_too_long', param: 'password' })
    expect(json.error.message).toContain('72 bytes')
  })
})

describe('AUTH-5: a password is long enough and hard to guess', () => {
  test.each([
    ['1a!qZx7', 'password_too_short'],
    ['🎉🎈🍌🐒', 'password_too_short'],
    ['password123', 'password_too_common'],
    ['PassWord123', 'password_too_common'],
    ['NanoBanana', 'password_too_common'],
    ['zzzzzzzzzz', 'password_too_common'],
  ])('%s is refused as %s', async (password, code) => {
    const { status, json } = await register({ password })
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code, param: 'password' })
  })

  test.each(['1a!qZx7p', ' a b c d', 'пароль-длинный', '🎉🎈🍌🐒🌴🥥🍍🥭'])(
    '%j is taken, spaces and all',
    async (password) => {
      const email = newEmail()
      expect((await register({ email, password })).status).toBe(201)
      expect((await login(email, password)).status).toBe(200)
    },
  )

  test('the address and its local part are refused', async () => {
    for (const password of ['ada.lovelace', 'Ada.Lovelace@example.com']) {
      const { json } = await register({ email: 'ada.lovelace@example.com', password })
      expect(json.error.code).toBe('password_too_common')
    }
  })
})

test('AUTH-6: composed and decomposed é are the same password', async () => {
  const email = newEmail()
  await register({ email, password: 'caf\u00e9 au lait' })
  expect((await login(email, 'cafe\u0301 au lait')).status).toBe(200)
})

describe('REGISTRATION', () => {
  test('closed refuses everybody, taken or free, before the address is looked at', async () => {
    const { handle } = app.database
    await using closed = await createTestApp({ database: handle, env: { REGISTRATION: 'closed' } })
    const email = newEmail()
    await register({ email })
    for (const fields of [{}, { email }, { registration_token: 'whatever' }, { password: 'x' }]) {
      const { status, json } = await register(fields, closed)
      expect(status).toBe(403)
      expect(json.error.code).toBe('registration_closed')
    }
  })

  test('token takes those who know the token; PASSWORD_MIN_LENGTH moves the bound', async () => {
    const registration_token = 'let-me-in-please-0123'
    await using guarded = await createTestApp({
      database: app.database.handle,
      env: {
        REGISTRATION: 'token',
        REGISTRATION_TOKEN: registration_token,
        PASSWORD_MIN_LENGTH: '15',
      },
    })
    expect((await register({ registration_token }, guarded)).status).toBe(201)
    for (const wrong of [undefined, 'let-me-in-please-0124', registration_token.slice(0, -1)]) {
      const { status, json } = await register({ registration_token: wrong }, guarded)
      expect(status).toBe(403)
      expect(json.error.code).toBe('registration_closed')
      expect(JSON.stringify(json)).not.toContain(registration_token)
    }
    const short = await register({ registration_token, password: 'fourteen-chars' }, guarded)
    expect(short.json.error.code).toBe('password_too_short')
    expect(short.json.error.message).toContain('15')
  })
})
