import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BootError, loadConfig } from '../../config.ts'
import { parseId } from '../../kernel/ids.ts'
import { createService, type Service } from '../../service.ts'
import { type Account, createTestApp, JWT_SECRET, type TestApp } from '../../../test/harness.ts'
import * as keys from './keys.service.ts'

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const newSecret = () => randomBytes(32).toString('hex')

/** A service on the same database under other secrets. */
function start(env: Record<string, string>): Promise<Service> {
  const { dataDir, database } = app
  const config = loadConfig({ DATA_DIR: dataDir, STORAGE: 'disk', JWT_SECRET, ...env })
  return createService(config, { database: database.handle, log: pino({ level: 'silent' }) })
}
const owner = () => ({ userId: parseId('user', user.id)!, tokenVersion: 1 })
const create = ({ deps }: Service = app.service) =>
  keys.create(deps, owner(), { name: 'a key', mode: 'test', scopes: ['read'] })
const works = async (key: string, { deps }: Service = app.service) =>
  (await keys.authenticate(deps, key)) !== undefined
const pepperIds = async () => {
  const { db } = app.database.handle
  const rows = await db.selectFrom('api_key_secrets').select('pepper_id').distinct().execute()
  return rows.map((row) => row.pepper_id)
}
const forgetKeys = () => app.database.handle.db.deleteFrom('api_key_secrets').execute()

/** Why a start with these secrets ends, or undefined when it does not. */
async function bootFailure(env: Record<string, string>): Promise<unknown> {
  try {
    await (await start(env)).close()
    return undefined
  } catch (error) {
    return error
  }
}

describe('KEY-2: the pepper of a key', () => {
  test('set later, API_KEY_PEPPER keeps the old keys and makes the new ones', async () => {
    const { key: old } = await create()
    const pepper = newSecret()
    await using peppered = await start({ API_KEY_PEPPER: pepper })
    const { key: fresh } = await create(peppered)
    for (const key of [old, fresh]) expect(await works(key, peppered)).toBe(true)
    expect(await works(fresh)).toBe(false)
    expect(await pepperIds()).toHaveLength(2)

    await using rotated = await start({ API_KEY_PEPPER: `${newSecret()},${pepper}` })
    for (const key of [old, fresh]) expect(await works(key, rotated)).toBe(true)
  })

  test('derived from JWT_SECRET, keeps keys working while the old secret is listed', async () => {
    await forgetKeys()
    const { key: old } = await create()
    await using both = await start({ JWT_SECRET: `${newSecret()},${JWT_SECRET}` })
    const { key: fresh } = await create(both)
    for (const key of [old, fresh]) expect(await works(key, both)).toBe(true)
    expect(await works(fresh)).toBe(false)
  })
})

describe('KEY-2: a start without the pepper of active keys', () => {
  test('is refused with exit code 78, the count and the variables’ names', async () => {
    await forgetKeys()
    const { deps } = app.service
    const [revoked, disabled] = [await create(), await create()]
    for (let n = 0; n < 2; n++) await create()
    await keys.revoke(deps, owner(), revoked.id)
    await keys.update(deps, owner(), { id: disabled.id, disabled: true })
    const failure = await bootFailure({ JWT_SECRET: newSecret() })
    expect(failure).toBeInstanceOf(BootError)
    const { message, exitCode } = failure as BootError
    expect(exitCode).toBe(78)
    expect(message).toContain('2 active API keys')
    expect(message).toContain('keys revoke-unreadable')
    expect(message).toContain('JWT_SECRET')
    expect(message).toContain('API_KEY_PEPPER')
    expect(message).not.toContain(JWT_SECRET)
    expect(await bootFailure({})).toBeUndefined()
  })

  test('is refused when API_KEY_PEPPER is dropped', async () => {
    await forgetKeys()
    const pepper = newSecret()
    {
      await using peppered = await start({ API_KEY_PEPPER: pepper })
      await create(peppered)
    }
    const failure = await bootFailure({})
    expect((failure as BootError).message).toContain('1 active API key')
    expect((failure as BootError).message).not.toContain(pepper)
    expect(await bootFailure({ API_KEY_PEPPER: pepper })).toBeUndefined()
  })

  test('is let through once every key has been rotated or revoked', async () => {
    await forgetKeys()
    const secret = newSecret()
    const [one, other] = [await create(), await create()]
    {
      await using both = await start({ JWT_SECRET: `${secret},${JWT_SECRET}` })
      await keys.rotate(both.deps, owner(), { id: one.id, grace_seconds: 600 })
      await keys.revoke(both.deps, owner(), other.id)
    }
    expect(await bootFailure({ JWT_SECRET: secret })).toBeUndefined()
  })

  test('is let through by keys that nobody could use: ended, disabled, of a disabled owner', async () => {
    await forgetKeys()
    const { db } = app.database.handle
    const { deps } = app.service
    const [ended, disabled] = [await create(), await create()]
    await sql`update api_keys set expires_at = now() - interval '1 second'
      where id = ${parseId('key', ended.id)}`.execute(db)
    await keys.update(deps, owner(), { id: disabled.id, disabled: true })
    const banned = await app.register()
    await app.createKey(banned)
    const disable = (at: ReturnType<typeof sql>) =>
      sql`update users set disabled_at = ${at} where email = ${banned.email}`.execute(db)
    await disable(sql`now()`)
    expect(await bootFailure({ JWT_SECRET: newSecret() })).toBeUndefined()
    await disable(sql`null`)
    const failure = await bootFailure({ JWT_SECRET: newSecret() })
    expect((failure as BootError).message).toContain('1 active API key')
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
