import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from './config.ts'
import { NAMES, SECRET_NAMES } from './config/environment.ts'
import { weaknessOf } from './config/weak-secret.ts'

const messageOf = (env: Record<string, string>): string => {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return `${error.message}\n${inspect(error)}`
  }
  return ''
}

describe('signing secrets', () => {
  test.each([
    ['short', 'short-secret'],
    ['31 bytes', '0123456789abcdef0123456789abcde'],
    ['few distinct bytes', 'abcdefgabcdefgabcdefgabcdefgabcdefg'],
    ['one byte', 'a'.repeat(64)],
    ['change-me', 'change-me'],
    ['a long change-me', 'Change_Me-change-me-change-me-0123456789'],
    ['secret', 'secret'],
    ['random_string', 'random_string_random_string_random_string'],
    ['the sample', 'change-me-to-the-output-of-openssl-rand-hex-32'],
    ['a good and a weak one', 'f3a1c9d27b6e40588d1f02c7a9b4e613,weak-one'],
    ['only commas', ',,'],
  ])('JWT-3: refuses %s without printing it', (_, value) => {
    for (const name of ['JWT_SECRET', 'API_KEY_PEPPER']) {
      const message = messageOf({ [name]: value })
      expect(message).toContain(name)
      for (const part of value.split(',').filter((part) => part.length > 6))
        expect(message).not.toContain(part)
    }
  })

  test.each([16, 32])('JWT-3: 1000 hex secrets of %i random bytes pass', (size) => {
    const secrets = Array.from({ length: 1000 }, () => randomBytes(size).toString('hex'))
    expect(secrets.filter((secret) => weaknessOf(secret) !== undefined)).toEqual([])
  })

  test('JWT-3: counts bytes, not characters', () => {
    expect(weaknessOf('äöüßéèñçäöüßéèñç')).toBeUndefined()
  })

  test('JWT-3: there is no built-in secret, and Postgres needs one', () => {
    expect(messageOf({ DATABASE_URL: 'postgres://h/d' })).toContain('JWT_SECRET is required')
    expect(loadConfig({}).auth.jwtSecrets).toBeUndefined()
  })
})

test('BOOT-1: no fault prints a value, of whatever name', () => {
  const canary = 'CANARY 7f3c\u0001'
  for (const name of NAMES) expect(messageOf({ [name]: `${canary}#?` })).not.toContain('CANARY')
})

test('BOOT-1: a loaded config prints no secret', () => {
  const canary = 'CANARYf3a1c9d27b6e40588d1f02c7a9b4e613'
  const url = (scheme: string) => `${scheme}://user:${canary}@host/db`
  const env: Record<string, string> = {
    ...Object.fromEntries(SECRET_NAMES.map((name) => [name, canary])),
    DATABASE_URL: url('postgres'),
    DATABASE_DIRECT_URL: url('postgres'),
    REDIS_URL: url('redis'),
    S3_ENDPOINT: 'https://s3.example',
    S3_BUCKET: 'b',
    R2_ACCESS_KEY_ID: '',
    R2_SECRET_ACCESS_KEY: '',
  }
  const config = loadConfig(env)
  expect(config.auth.jwtSecrets).toEqual([canary])
  const groups: unknown[] = [config, ...Object.values(config)]
  for (const value of groups) {
    expect(JSON.stringify(value) ?? '').not.toContain('CANARY')
    expect(inspect(value, { depth: null })).not.toContain('CANARY')
  }
})

test('a prototype name in the environment does no harm', () => {
  const env = JSON.parse('{"__proto__":{"PORT":"1"},"constructor":"x"}') as Record<string, string>
  expect(loadConfig(env).server.port).toBe(3000)
})
