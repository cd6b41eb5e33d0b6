import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BootError, loadConfig } from '../../config.ts'
import { createService } from '../../service.ts'
import { type Account, createTestApp, JWT_SECRET, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const newSecret = () => randomBytes(32).toString('hex')
/** The same database under other secrets. */
const withSecrets = (env: Record<string, string>) =>
  createTestApp({ database: app.database.handle, env })
const use = async (key: string, on = app) =>
  (await on.request('GET', '/v1/generations', { token: key })).status
const pepperIds = async () => {
  const { db } = app.database.handle
  const rows = await db.selectFrom('api_key_secrets').select('pepper_id').distinct().execute()
  return rows.map((row) => row.pepper_id)
}
const forgetKeys = () => app.database.handle.db.deleteFrom('api_key_secrets').execute()

/** Why a start with these secrets ends, or undefined when it does not. */
async function bootFailure(env: Record<string, string>): Promise<unknown> {
  const { dataDir, database } = app
  const config = loadConfig({ DATA_DIR: dataDir, STORAGE: 'disk', JWT_SECRET, ...env })
  const log = pino({ level: 'silent' })
  try {
    await (await createService(config, { database: database.handle, log })).close()
    return undefined
  } catch (error) {
    return error
  }
}

describe('KEY-2: the pepper of a key', () => {
  test('set later, API_KEY_PEPPER keeps the old keys and makes the new ones', async () => {
    const { key: old } = await app.createKey(user)
    const pepper = newSecret()
    await using peppered = await withSecrets({ API_KEY_PEPPER: pepper })
    const { key: fresh } = await peppered.createKey(user)
    for (const key of [old, fresh]) expect(await use(key, peppered)).toBe(200)
    expect(await use(fresh)).toBe(401)
    expect(await pepperIds()).toHaveLength(2)

    await using rotated = await withSecrets({ API_KEY_PEPPER: `${newSecret()},${pepper}` })
    for (const key of [old, fresh]) expect(await use(key, rotated)).toBe(200)
  })

  test('derived from JWT_SECRET, keeps keys working while the old secret is listed', async () => {
    await forgetKeys()
    const { key: old } = await app.createKey(user)
    const secret = newSecret()
    await using both = await withSecrets({ JWT_SECRET: `${secret},${JWT_SECRET}` })
    const token = (
      await both.request('POST', '/v1/auth/login', {
        body: { email: user.email, password: user.password },
      })
    ).json.access_token
    const { key: fresh } = await both.createKey({ ...user, token })
    for (const key of [old, fresh]) expect(await use(key, both)).toBe(200)
    expect(await use(fresh)).toBe(401)
  })
})

describe('KEY-2: a start without the pepper of active keys', () => {
  test('is refused with exit code 78, the count and the variables’ names', async () => {
    await forgetKeys()
    const ids = []
    for (let n = 0; n < 4; n++) ids.push((await app.createKey(user)).id)
    await app.request('DELETE', `/v1/keys/${ids[0]}`, { token: user.token })
    await app.request('PATCH', `/v1/keys/${ids[1]}`, {
      token: user.token,
      body: { disabled: true },
    })
    const failure = await bootFailure({ JWT_SECRET: newSecret() })
    expect(failure).toBeInstanceOf(BootError)
    const { message, exitCode } = failure as BootError
    expect(exitCode).toBe(78)
    expect(message).toContain('3 active API keys')
    expect(message).toContain('JWT_SECRET')
    expect(message).toContain('API_KEY_PEPPER')
    expect(message).not.toContain(JWT_SECRET)
    expect(await bootFailure({})).toBeUndefined()
  })

  test('is refused when API_KEY_PEPPER is dropped', async () => {
    await forgetKeys()
    const pepper = newSecret()
    {
      await using peppered = await withSecrets({ API_KEY_PEPPER: pepper })
      await peppered.createKey(user)
    }
    const failure = await bootFailure({})
    expect((failure as BootError).message).toContain('1 active API key')
    expect((failure as BootError).message).not.toContain(pepper)
    expect(await bootFailure({ API_KEY_PEPPER: pepper })).toBeUndefined()
  })

  test('is let through once every key has been rotated or revoked', async () => {
    await forgetKeys()
    const secret = newSecret()
    const [one, other] = [await app.createKey(user), await app.createKey(user)]
    {
      await using both = await withSecrets({ JWT_SECRET: `${secret},${JWT_SECRET}` })
      const body = { grace_seconds: 600 }
      await both.request('POST', `/v1/keys/${one.id}/rotate`, { token: user.token, body })
      await both.request('DELETE', `/v1/keys/${other.id}`, { token: user.token })
    }
    expect(await bootFailure({ JWT_SECRET: secret })).toBeUndefined()
  })

  test('is let through when the owner is gone', async () => {
    await forgetKeys()
    const leaver = await app.register()
    await app.createKey(leaver)
    await app.request('POST', '/v1/auth/delete_account', {
      token: leaver.token,
      body: { password: leaver.password },
    })
    expect(await bootFailure({ JWT_SECRET: newSecret() })).toBeUndefined()
  })
})
