import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CompiledQuery, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Db, openPostgres } from '../src/db/client.ts'
import type { AuditAction } from '../src/db/schema.ts'
import * as auth from '../src/features/auth/auth.service.ts'
import * as keys from '../src/features/keys/keys.service.ts'
import { deriveSecrets } from '../src/kernel/secrets.ts'
import { parseId } from '../src/kernel/ids.ts'
import { freshIp } from './calls.ts'
import { type Account, createTestApp, ENGINE, type TestApp } from './harness.ts'

interface Row {
  action: AuditAction
  user_id: string | null
  key_id: string | null
  webhook_id: string | null
  detail: string | null
}

/** As the page says that an operator does; see docs/postgres-roles.md. */
const grantsOf = (role: string): string[] => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/postgres-roles.md'), 'utf8')
  const [, sqlText = ''] = /Then, as the owner:\s+```sql\n([^`]*)```/.exec(page) ?? []
  return sqlText.replaceAll('nanobanana_runtime', role).split(';\n').filter(Boolean)
}

let app: TestApp
beforeAll(async () => {
  app = await createTestApp({ env: { WEBHOOK_ALLOW_PRIVATE: 'true' } })
})
afterAll(() => app[Symbol.asyncDispose]())

const db = () => app.database.handle.db
const run = (on: Db, statement: string) => on.executeQuery(CompiledQuery.raw(statement))

/** Rows that the work leaves, in their order. */
async function rowsOf(work: () => Promise<unknown>): Promise<Row[]> {
  const last = async () =>
    Number(
      (await sql<{ id: number }>`select coalesce(max(id), 0) id from audit`.execute(db())).rows[0]
        ?.id,
    )
  const before = await last()
  await work()
  await app.service.deps.background.drain()
  return db()
    .selectFrom('audit')
    .select(['action', 'user_id', 'key_id', 'webhook_id', 'detail'])
    .where('id', '>', before)
    .orderBy('id')
    .execute()
}

const post = (path: string, token?: string, body: object = {}) =>
  app.request('POST', path, { ...(token === undefined ? {} : { token }), body })
const userIdOf = ({ id }: Account) => parseId('user', id) ?? null
const keyIdOf = ({ id }: { id: string }) => parseId('key', id) ?? null
const login = (email: string, password: string) =>
  post('/v1/auth/login', undefined, { email, password })
const createWebhook = (token: string) =>
  post('/v1/webhooks', token, { url: 'http://127.0.0.1:9/', events: ['generation.failed'] })
const use = (key: string) => app.request('GET', '/v1/generations', { token: key })

describe('AUD-1: each action leaves one row', () => {
  let user: Account
  let user_id: string | null
  beforeAll(async () => {
    user = await app.register()
    user_id = userIdOf(user)
  })
  const row = (action: AuditAction, more: Partial<Row> = {}): Row => ({
    action,
    user_id,
    key_id: null,
    webhook_id: null,
    detail: null,
    ...more,
  })

  test('a registration and a login', async () => {
    let account = user
    const rows = await rowsOf(async () => (account = await app.register()))
    const of = { user_id: userIdOf(account) }
    expect(rows).toEqual([row('account.registered', of), row('login.succeeded', of)])
  })

  test('a login that failed, and why', async () => {
    const wrong = await rowsOf(() => login(user.email, 'a wrong password'))
    expect(wrong).toEqual([row('login.failed', { detail: 'wrong_password' })])
    const unknown = await rowsOf(() => login('nobody@example.com', 'a wrong password'))
    expect(unknown).toEqual([row('login.failed', { user_id: null, detail: 'unknown_account' })])
  })

  test('a logout, of one token and of all', async () => {
    const tokenOf = async () => (await login(user.email, user.password)).json.access_token
    const [one, other] = [await tokenOf(), await tokenOf()]
    expect(await rowsOf(() => post('/v1/auth/logout', one))).toEqual([row('session.ended')])
    expect(await rowsOf(() => post('/v1/auth/logout', one))).toEqual([])
    expect(await rowsOf(() => post('/v1/auth/logout_all', other))).toEqual([row('sessions.ended')])
    user = { ...user, token: await tokenOf() }
  })

  test('the life of a key', async () => {
    let key = { id: '', key: '' }
    const created = await rowsOf(async () => (key = await app.createKey(user)))
    const key_id = keyIdOf(key)
    expect(created).toEqual([row('key.created', { key_id })])
    const path = `/v1/keys/${key.id}`
    const changes = { name: 'another', disabled: true }
    const { token } = user
    expect(await rowsOf(() => app.request('PATCH', path, { token, body: changes }))).toEqual([
      row('key.updated', { key_id, detail: 'name,status' }),
    ])
    expect(await rowsOf(() => post(`${path}/rotate`, token))).toEqual([
      row('key.rotated', { key_id }),
    ])
    const revoke = () => app.request('DELETE', path, { token })
    expect(await rowsOf(revoke)).toEqual([row('key.revoked', { key_id })])
    expect(await rowsOf(revoke)).toEqual([])
  })

  test.each<[string, (key: string) => Promise<unknown>]>([
    ['revoked', (id) => app.request('DELETE', `/v1/keys/${id}`, { token: user.token })],
    [
      'disabled',
      (id) =>
        app.request('PATCH', `/v1/keys/${id}`, { token: user.token, body: { disabled: true } }),
    ],
    [
      'expired',
      (id) =>
        sql`update api_keys set expires_at = now() where id = ${keyIdOf({ id })}`.execute(db()),
    ],
    [
      'rotated',
      async (id) => {
        await post(`/v1/keys/${id}/rotate`, user.token, { grace_seconds: 60 })
        await sql`update api_key_secrets set expires_at = now() where expires_at is not null`.execute(
          db(),
        )
      },
    ],
    ['account_disabled', () => auth.disableUser(app.service.deps, user.email, true)],
  ])('a key that is refused because it is %s', async (detail, end) => {
    const key = await app.createKey(user)
    await end(key.id)
    const expected = row('key.refused', { key_id: keyIdOf(key), detail })
    expect(await rowsOf(() => use(key.key))).toEqual([expected])
    await auth.disableUser(app.service.deps, user.email, false)
  })

  test('the life of a webhook', async () => {
    const { token } = user
    let webhook = { id: '' }
    const created = await rowsOf(async () => (webhook = (await createWebhook(token)).json))
    const webhook_id = parseId('wh', webhook.id) ?? null
    expect(created).toEqual([row('webhook.created', { webhook_id })])
    const path = `/v1/webhooks/${webhook.id}`
    const changes = { url: 'http://127.0.0.1:10/', disabled: true }
    expect(await rowsOf(() => app.request('PATCH', path, { token, body: changes }))).toEqual([
      row('webhook.updated', { webhook_id, detail: 'url,disabled' }),
    ])
    expect(await rowsOf(() => post(`${path}/rotate_secret`, token))).toEqual([
      row('webhook.secret_rotated', { webhook_id }),
    ])
    const remove = () => app.request('DELETE', path, { token })
    expect(await rowsOf(remove)).toEqual([row('webhook.deleted', { webhook_id })])
    expect(await rowsOf(remove)).toEqual([])
  })

  test('what an operator does', async () => {
    const { deps } = app.service
    const rows = await rowsOf(async () => {
      await auth.disableUser(deps, user.email, true)
      await login(user.email, user.password)
      await auth.disableUser(deps, user.email, false)
      await auth.unlockUser(deps, user.email)
      await auth.limitUser(deps, user.email, 1)
      await auth.limitUser(deps, user.email, null)
      await auth.resetPassword(deps, user.email, user.password)
      await auth.unlockUser(deps, 'nobody@example.com')
      await auth.disableUser(deps, 'nobody@example.com', true)
    })
    expect(rows).toEqual([
      row('account.disabled'),
      row('login.failed', { detail: 'account_disabled' }),
      row('account.enabled'),
      row('account.unlocked'),
      row('account.limit_changed'),
      row('account.limit_changed'),
      row('password.reset'),
    ])
  })

  test('keys that an operator revokes because their secret is lost', async () => {
    const other = await app.register()
    const key = await app.createKey(other)
    const secrets = deriveSecrets(['another secret of tests 0123456789 abcdefghij'])
    const rows = await rowsOf(() => keys.revokeUnreadable({ db: db(), secrets }))
    expect(rows).toContainEqual(
      row('key.revoked', {
        user_id: userIdOf(other),
        key_id: keyIdOf(key),
        detail: 'unreadable',
      }),
    )
  })

  test('a change of the password, with the keys it ends', async () => {
    const other = await app.register()
    const key = await app.createKey(other)
    const change = (current_password: string) =>
      post('/v1/auth/password', other.token, {
        current_password,
        new_password: 'staple battery correct',
        revoke_keys: true,
      })
    const of = { user_id: userIdOf(other) }
    expect(await rowsOf(() => change('a wrong password'))).toEqual([row('password.refused', of)])
    expect(await rowsOf(() => change(other.password))).toEqual([
      row('password.changed', of),
      row('key.revoked', { ...of, key_id: keyIdOf(key), detail: 'password_changed' }),
    ])
  })

  test('the deletion of an account, which its rows outlive', async () => {
    const other = await app.register()
    const key = await app.createKey(other)
    const webhook = (await createWebhook(other.token)).json
    const of = { user_id: userIdOf(other) }
    const remove = () => post('/v1/auth/delete_account', other.token, { password: other.password })
    expect(await rowsOf(remove)).toEqual([
      row('webhook.deleted', {
        ...of,
        webhook_id: parseId('wh', webhook.id) ?? null,
        detail: 'account_deleted',
      }),
      row('key.revoked', { ...of, key_id: keyIdOf(key), detail: 'account_deleted' }),
      row('account.deleted', of),
    ])
    const kept = await db()
      .selectFrom('audit')
      .select('action')
      .where('user_id', '=', of.user_id)
      .orderBy('id')
      .execute()
    expect(kept.map(({ action }) => action)).toEqual([
      'account.registered',
      'login.succeeded',
      'key.created',
      'webhook.created',
      'webhook.deleted',
      'key.revoked',
      'account.deleted',
    ])
  })
})

describe('AUD-1: nothing that did not happen is recorded', () => {
  test('not an address that was taken, nor a key over the bound', async () => {
    const user = await app.register()
    const { email, password } = user
    expect(await rowsOf(() => post('/v1/auth/register', undefined, { email, password }))).toEqual(
      [],
    )
    for (let n = 0; n < 25; n++) await app.createKey(user)
    const refused = await rowsOf(() => app.createKey(user))
    expect(refused).toEqual([])
  })
})

describe('AUD-1: what cannot be recorded does not happen', () => {
  let user: Account
  let key = { id: '', key: '' }
  let webhook = { id: '' }
  beforeAll(async () => {
    user = await app.register()
    key = await app.createKey(user)
    webhook = (await createWebhook(user.token)).json
    await sql`alter table audit rename to lost`.execute(db())
  })
  afterAll(() => sql`alter table lost rename to audit`.execute(db()))

  test.each<[string, () => Promise<{ status: number }>, () => Promise<unknown>, unknown]>([
    [
      'a registration',
      () =>
        post('/v1/auth/register', undefined, { email: 'lost@example.com', password: 'a good one' }),
      () => db().selectFrom('users').select('id').where('email', '=', 'lost@example.com').execute(),
      [],
    ],
    ['a login', () => login(user.email, user.password), async () => true, true],
    ['a logout', () => post('/v1/auth/logout', user.token), () => me(), 200],
    ['a logout everywhere', () => post('/v1/auth/logout_all', user.token), () => me(), 200],
    [
      'a new key',
      () => post('/v1/keys', user.token, { name: 'lost', mode: 'test' }),
      () => db().selectFrom('api_keys').select('id').where('name', '=', 'lost').execute(),
      [],
    ],
    [
      'a rotation',
      () => post(`/v1/keys/${key.id}/rotate`, user.token, { grace_seconds: 0 }),
      async () => (await use(key.key)).status,
      200,
    ],
    [
      'a revocation',
      () => app.request('DELETE', `/v1/keys/${key.id}`, { token: user.token }),
      async () => (await use(key.key)).status,
      200,
    ],
    [
      'a new webhook',
      () => createWebhook(user.token),
      async () => (await webhooksOf(user)).length,
      1,
    ],
    [
      'a deletion of a webhook',
      () => app.request('DELETE', `/v1/webhooks/${webhook.id}`, { token: user.token }),
      async () => (await webhooksOf(user)).length,
      1,
    ],
    [
      'a change of the password',
      () =>
        post('/v1/auth/password', user.token, {
          current_password: user.password,
          new_password: 'staple battery correct',
        }),
      () => me(),
      200,
    ],
    [
      'a deletion',
      () => post('/v1/auth/delete_account', user.token, { password: user.password }),
      () => me(),
      200,
    ],
  ])('%s', async (_, act, state, unchanged) => {
    expect((await act()).status).toBeGreaterThanOrEqual(500)
    expect(await state()).toEqual(unchanged)
  })

  const webhooksOf = async ({ token }: Account) =>
    (await app.request('GET', '/v1/webhooks', { token })).json.data
  const me = async () => (await app.request('GET', '/v1/auth/me', { token: user.token })).status
})

describe('AUD-1: a stranger cannot fill the table', () => {
  test('with keys that never were', async () => {
    const { key } = await app.createKey(await app.register())
    const forged = key.slice(0, -6) + 'AAAAAA'
    const rows = await rowsOf(() =>
      Promise.all([use(forged), use('nb_test_x'), use('nb_live_'), use('x')]),
    )
    expect(rows).toEqual([])
  })

  test('with one that is revoked: a row a minute', async () => {
    const user = await app.register()
    const key = await app.createKey(user)
    await app.request('DELETE', `/v1/keys/${key.id}`, { token: user.token })
    const flood = () => rowsOf(() => Promise.all(Array.from({ length: 40 }, () => use(key.key))))
    // Two where a minute ends in between.
    expect((await flood()).length).toBeLessThanOrEqual(2)
    expect((await flood()).length).toBeLessThanOrEqual(1)
  })

  test('with one that is answered 429: it is not even looked for', async () => {
    const user = await app.register()
    const key = await app.createKey(user)
    await app.request('DELETE', `/v1/keys/${key.id}`, { token: user.token })
    const ip = freshIp()
    const status = async () =>
      (await app.request('GET', '/v1/generations', { token: key.key, ip })).status
    const statementsOf = async (work: () => Promise<unknown>) => {
      const before = app.database.statements.length
      await work()
      await app.service.deps.background.drain()
      return app.database.statements.slice(before).filter((text) => /audit|disabled'/.test(text))
    }
    const refused = await statementsOf(async () => expect(await status()).toBe(401))
    expect(refused).toHaveLength(2)
    while ((await status()) !== 429);
    await app.service.deps.background.drain()
    const limited = await statementsOf(async () => expect(await status()).toBe(429))
    expect(limited).toEqual([])
  })

  test('with logins to accounts that are not there: a row a minute', async () => {
    const flood = () =>
      rowsOf(() =>
        Promise.all(Array.from({ length: 20 }, (_, n) => login(`nobody${n}@example.com`, 'wrong'))),
      )
    expect((await flood()).length).toBeLessThanOrEqual(2)
  })
})

test('AUD-1: no row holds a password, a token, a key or an address', async () => {
  const canary = `canary${randomBytes(6).toString('hex')}`
  const [email, password] = [`${canary}@example.com`, `${canary} of a password`]
  const secrets = [canary]
  await post('/v1/auth/register', undefined, { email, password, name: canary })
  await login(email, `${canary} wrong`)
  await login(`${canary}@example.org`, password)
  const { json } = await login(email, password)
  const token = json.access_token as string
  const key = (await post('/v1/keys', token, { name: canary, mode: 'test' })).json
  await app.request('PATCH', `/v1/keys/${key.id}`, { token, body: { name: `${canary}2` } })
  const rotated = (await post(`/v1/keys/${key.id}/rotate`, token)).json
  await app.request('DELETE', `/v1/keys/${key.id}`, { token })
  for (const refused of [key.key, rotated.key, `nb_test_${canary}`]) await use(refused)
  const url = `http://127.0.0.1:9/${canary}`
  const events = ['generation.failed']
  const webhook = (await post('/v1/webhooks', token, { url, events, description: canary })).json
  await app.request('PATCH', `/v1/webhooks/${webhook.id}`, { token, body: { url: `${url}2` } })
  secrets.push(webhook.secret, token, key.key, rotated.key, key.key.slice(0, 16))
  await app.service.deps.background.drain()
  const { rows } = await sql<{ text: string }>`select audit::text as text from audit`.execute(db())
  expect(rows.length).toBeGreaterThan(6)
  for (const { text } of rows) {
    for (const secret of secrets) expect(text).not.toContain(secret)
    expect(text).not.toContain('@')
  }
})

describe('AUD-1: rows are added and nothing else', () => {
  const CHANGES = [
    `update audit set detail = 'x'`,
    `update audit set detail = 'x' where false`,
    `delete from audit`,
    `truncate audit`,
  ]

  test.each(CHANGES)('not even the owner of the table may %s', async (statement) => {
    await expect(run(db(), statement)).rejects.toThrow('added, never changed')
  })

  const why = ENGINE === 'postgres' ? '' : ' (skipped: PGlite has one role)'
  test.skipIf(ENGINE === 'pglite')(
    `the service works as the documented role, which may only insert${why}`,
    async () => {
      await using opened = new AsyncDisposableStack()
      const role = `runtime_${randomBytes(6).toString('hex')}`
      const url = new URL(app.database.url ?? '')
      await run(db(), `create role ${role} login password '${role}'`)
      opened.defer(async () => {
        await run(db(), `drop owned by ${role}`)
        await run(db(), `drop role ${role}`)
      })
      for (const statement of grantsOf(role)) await run(db(), statement)
      url.username = role
      url.password = role
      const handle = await openPostgres({ url: url.href }, { onConnectionError: () => {} })
      opened.defer(() => handle.close())
      for (const statement of [...CHANGES, 'select * from audit', 'create table x (id int)']) {
        await expect(run(handle.db, statement)).rejects.toThrow('permission denied')
      }
      const { deps } = app.service
      const person = { email: `${role}@example.com`, password: 'correct horse battery' }
      const runtime = { ...deps, db: handle.db }
      const rows = await rowsOf(async () => {
        await auth.register(runtime, { ip: '127.0.0.1' }, person)
        await auth.login(runtime, { ip: '127.0.0.1' }, person)
        const nobody = auth.login(runtime, { ip: '127.0.0.1' }, { ...person, email: 'x@y.example' })
        await expect(nobody).rejects.toMatchObject({ code: 'invalid_credentials' })
      })
      expect(rows.slice(0, 2).map(({ action }) => action)).toEqual([
        'account.registered',
        'login.succeeded',
      ])
    },
  )
})
