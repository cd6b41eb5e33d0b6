import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshIp } from './calls.ts'
import { type Account, createTestApp, type TestApp, type TestResponse } from './harness.ts'
import { openPort, requestText, say } from './raw-http.ts'
import { parseList } from './structured-fields.ts'
import { generate, missingId } from './world.ts'

const KEY_RPM = 20
const ACCOUNT_RPM = 50
const IP_RPM = 40
/** Refused ones that an address may send in a minute. */
const BAD_CREDENTIALS = 30

/** What the two headers say, by policy: quota, window, left, seconds. */
function limitsOf({ headers }: Pick<TestResponse, 'headers'>) {
  const limits = parseList(headers['ratelimit'])
  return parseList(headers['ratelimit-policy']).map(({ name, parameters }) => ({
    name,
    ...parameters,
    ...limits.find((one) => one.name === name)?.parameters,
  }))
}
const leftOf = (answer: Pick<TestResponse, 'headers'>) =>
  parseList(answer.headers['ratelimit']).map(({ name, parameters }) => [name, parameters['r']])

const codeOf = ({ status, json }: TestResponse) => `${status} ${json?.error?.code ?? 'ok'}`

describe('limits of a key and of its account', () => {
  let app: TestApp
  let alice: Account
  beforeAll(async () => {
    app = await createTestApp({
      env: {
        RATE_LIMIT_RPM: String(KEY_RPM),
        RATE_LIMIT_ACCOUNT_RPM: String(ACCOUNT_RPM),
        CORS_ORIGINS: 'https://app.example.com',
      },
    })
  })
  afterAll(() => app[Symbol.asyncDispose]())

  const models = (token: string, ip = freshIp()) => app.request('GET', '/v1/models', { token, ip })
  const many = async (count: number, one: () => Promise<TestResponse>) => {
    const answers = await Promise.all(Array.from({ length: count }, one))
    return answers.reduce<Record<string, number>>((sums, answer) => {
      sums[codeOf(answer)] = (sums[codeOf(answer)] ?? 0) + 1
      return sums
    }, {})
  }

  test('the headers say what is left of both, on REST and tRPC, for answers and errors', async () => {
    alice = await app.register()
    const { key: token } = await app.createKey(alice)
    const answers = [
      await models(token),
      await app.request('GET', '/trpc/models.list', { token }),
      await app.request('GET', `/v1/generations/${missingId('gen')}`, { token }),
      await app.request('GET', '/trpc/keys.list', { token }),
      await app.request('POST', '/v1/generate', { token, body: '{' }),
      await app.request('POST', '/trpc/generate', { token, body: '{' }),
      await app.request('POST', '/v1/generate', { token, headers: { 'content-type': 'a/b' } }),
      await app.request('GET', `/v1/images/${missingId('img')}/content`, { token }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 404, 403, 400, 400, 415, 404])
    for (const [i, answer] of answers.entries()) {
      // One call of the account's was the session's.
      expect(limitsOf(answer)).toEqual([
        { name: 'key', q: KEY_RPM, w: 60, r: KEY_RPM - 1 - i, t: expect.any(Number) },
        { name: 'account', q: ACCOUNT_RPM, w: 60, r: ACCOUNT_RPM - 2 - i, t: expect.any(Number) },
      ])
    }
  })

  test('a session has the limit of the account alone', async () => {
    const { token } = await app.register()
    const answer = await app.request('GET', '/v1/auth/me', { token })
    expect(limitsOf(answer)).toMatchObject([
      { name: 'account', q: ACCOUNT_RPM, r: ACCOUNT_RPM - 1 },
    ])
  })

  test('answers to nobody in particular carry no limits', async () => {
    const answers = [
      await app.request('GET', '/v1/models'),
      await models('nb_test_nobody'),
      await app.request('POST', '/v1/auth/login', { token: alice.token, body: alice }),
      await app.request('GET', '/healthz', { token: alice.token }),
      await app.request('GET', '/v1/nothing', { token: alice.token }),
    ]
    for (const { headers } of answers) {
      expect(headers['ratelimit']).toBeUndefined()
      expect(headers['ratelimit-policy']).toBeUndefined()
    }
  })

  test('every route that asks for a credential counts a request once', async () => {
    const { key: token } = await app.createKey(await app.register(), { requests_per_minute: 500 })
    const guarded = app.service.http.routes.filter(
      ({ policy }) => policy.kind === 'session' || policy.kind === 'scope',
    )
    expect(guarded.length).toBeGreaterThan(15)
    for (const [i, { method, url }] of guarded.entries()) {
      const path = url.replaceAll(/:\w+/g, 'x')
      const body = method === 'POST' || method === 'PATCH' ? {} : undefined
      const answer = await app.request(method, path, { token, body })
      expect(leftOf(answer)[0], `${method} ${url}`).toEqual(['key', 499 - i])
    }
  })

  test('as many calls of a key pass as its own figure says, or the default', async () => {
    const account = await app.register()
    const { key: own } = await app.createKey(account, { requests_per_minute: 7 })
    expect(await many(30, () => models(own))).toEqual({ '200 ok': 7, '429 rate_limited': 23 })
    const { key: common } = await app.createKey(account)
    expect(await many(30, () => models(common))).toEqual({
      '200 ok': KEY_RPM,
      '429 rate_limited': 30 - KEY_RPM,
    })
  })

  test('a refusal says when to try again', async () => {
    const { key } = await app.createKey(await app.register(), { requests_per_minute: 1 })
    await models(key)
    const refused = await models(key)
    expect(refused.json.error).toMatchObject({
      code: 'rate_limited',
      message: 'Too many requests with this API key.',
    })
    const [{ t, ...limit }] = limitsOf(refused) as [{ name: string; t: number }]
    expect(limit).toEqual({ name: 'key', q: 1, w: 60, r: 0 })
    expect(refused.headers['retry-after']).toBe(String(t))
    expect(refused.headers['x-should-retry']).toBe('true')
    expect(t).toBeGreaterThan(0)
    expect(t).toBeLessThanOrEqual(60)
  })

  test('a rotated key goes on where it was', async () => {
    const account = await app.register()
    const { id, key } = await app.createKey(account, { requests_per_minute: 3 })
    await models(key)
    const { json } = await app.request('POST', `/v1/keys/${id}/rotate`, {
      token: account.token,
      body: { grace_seconds: 60 },
    })
    expect(leftOf(await models(json.key))[0]).toEqual(['key', 1])
    expect(leftOf(await models(key))[0]).toEqual(['key', 0])
    expect((await models(json.key)).status).toBe(429)
  })

  test('a changed figure of a key holds at once', async () => {
    const account = await app.register()
    const { id, key } = await app.createKey(account, { requests_per_minute: 1 })
    await models(key)
    expect((await models(key)).status).toBe(429)
    const body = { requests_per_minute: 5 }
    await app.request('PATCH', `/v1/keys/${id}`, { token: account.token, body })
    expect(leftOf(await models(key))[0]).toEqual(['key', 2])
  })

  test('keys and sessions of an account share its limit', async () => {
    const account = await app.register()
    const keys = [await app.createKey(account), await app.createKey(account)]
    const tokens = [account.token, ...keys.map(({ key }) => key)]
    const answers = await Promise.all(tokens.map((token) => many(20, () => models(token))))
    // Both keys were created by the session.
    expect(answers.reduce((sum, { '200 ok': passed = 0 }) => sum + passed, 0)).toBe(ACCOUNT_RPM - 2)
    expect((await models(account.token)).json.error.message).toBe(
      'Too many requests of this account.',
    )
    const other = await app.register()
    expect((await models(other.token)).status).toBe(200)
  })

  test('what one key is refused takes nothing from the others', async () => {
    const account = await app.register()
    const { key } = await app.createKey(account, { requests_per_minute: 1 })
    await many(ACCOUNT_RPM * 2, () => models(key))
    expect(leftOf(await models(account.token))).toEqual([['account', ACCOUNT_RPM - 3]])
  })

  describe('a batch', () => {
    const batch = (names: string[], token: string) =>
      app.request('GET', `/trpc/${names.join(',')}?batch=1&input={}`, { token, ip: freshIp() })
    const ten = Array.from({ length: 10 }, () => 'models.list')
    const codes = (answer: TestResponse) =>
      answer.json.map((one: TestResponse['json']) => one.error?.data.error.code ?? 'ok')

    test('costs as much as its calls', async () => {
      const { key } = await app.createKey(await app.register())
      const answer = await batch(ten, key)
      expect(codes(answer)).toEqual(ten.map(() => 'ok'))
      expect(leftOf(answer)[0]).toEqual(['key', KEY_RPM - 10])
      expect(leftOf(await models(key))[0]).toEqual(['key', KEY_RPM - 11])
    })

    test('is answered as far as there is room', async () => {
      const { key } = await app.createKey(await app.register(), { requests_per_minute: 14 })
      await batch(ten, key)
      const answer = await batch(ten, key)
      expect(codes(answer).toSorted()).toEqual([
        ...ten.slice(6).map(() => 'ok'),
        ...ten.slice(4).map(() => 'rate_limited'),
      ])
      expect(leftOf(answer)[0]).toEqual(['key', 0])
      const none = await batch(ten, key)
      expect(none.status).toBe(429)
      expect(none.json.error.data.error.code).toBe('rate_limited')
    })

    test('counts its public calls with the others, by their place, before any of them runs', async () => {
      const { key } = await app.createKey(await app.register(), { requests_per_minute: 3 })
      const post = (names: string[]) =>
        app.request('POST', `/trpc/${names.join(',')}?batch=1`, {
          token: key,
          ip: freshIp(),
          body: Object.fromEntries(names.map((_, i) => [i, {}])),
        })
      const nine = Array.from({ length: 9 }, () => 'auth.login')
      const answer = await post([...nine, 'generate'])
      expect(codes(answer)).toEqual([
        ...nine.slice(6).map(() => 'invalid_input'),
        ...ten.slice(3).map(() => 'rate_limited'),
      ])
      expect((await post(['generate', ...nine])).status).toBe(429)
    })

    test('of eleven is refused', async () => {
      const { key } = await app.createKey(await app.register())
      const answer = await batch([...ten, 'models.list'], key)
      expect(answer.status).toBe(400)
      expect(answer.json.error.data.error.code).toBe('invalid_input')
    })
  })

  test('a browser may read the limits', async () => {
    const origin = 'https://app.example.com'
    const { headers } = await app.request('GET', '/v1/models', {
      token: alice.token,
      headers: { origin },
    })
    const exposed = headers['access-control-expose-headers']?.split(/, */)
    expect(exposed).toEqual(expect.arrayContaining(['ratelimit-policy', 'ratelimit']))
  })

  test('an upload is refused before its body is read', async () => {
    const { key } = await app.createKey(await app.register(), { requests_per_minute: 1 })
    await models(key)
    const port = await openPort(app)
    const head = requestText('POST /v1/generate', [
      `Authorization: Bearer ${key}`,
      'Content-Type: multipart/form-data; boundary=x',
      'Content-Length: 1000000',
    ]).replace('Connection: close', 'Connection: keep-alive')
    const answer = await say(port, head)
    expect(answer.status).toBe(429)
    expect(answer.closed).toBe(true)
    expect(leftOf(answer)[0]).toEqual(['key', 0])
  })
})

describe('the limit of an address', () => {
  let app: TestApp
  let proxied: TestApp
  beforeAll(async () => {
    const env = { RATE_LIMIT_IP_RPM: String(IP_RPM) }
    app = await createTestApp({ env: { WORKERS: '0', ...env } })
    proxied = await createTestApp({ env: { ...env, TRUST_PROXY: '10.9.0.0/16' } })
  })
  afterAll(async () => {
    await app[Symbol.asyncDispose]()
    await proxied[Symbol.asyncDispose]()
  })

  const exhaust = async (ip: string) => {
    for (let i = 0; i < IP_RPM; i++) await app.request('POST', '/v1/auth/login', { ip, body: {} })
  }

  test('holds before anybody is known, on every face', async () => {
    const account = await app.register()
    const { key: token } = await app.createKey(account, { scopes: ['read', 'generate'] })
    const picture = await generate(app, token)
    const signed = new URL(picture.url)
    const ip = freshIp()
    await exhaust(ip)
    const refused = [
      await app.request('POST', '/v1/auth/login', { ip, body: account }),
      await app.request('GET', '/v1/models', { ip }),
      await app.request('GET', '/v1/models', { ip, token: 'nb_test_nobody' }),
      await app.request('GET', '/v1/models', { ip, token }),
      await app.request('GET', '/v1/models', { ip, token: account.token }),
      await app.request('GET', '/trpc/models.list', { ip, token }),
      await app.request('POST', '/trpc/auth.login', { ip, body: account }),
      await app.request('POST', '/v1/generate', { ip, token, body: '{' }),
      await app.request('GET', `/v1/images/${picture.images[0].id}/content`, { ip, token }),
      await app.request('GET', signed.pathname + signed.search, { ip }),
    ]
    for (const answer of refused) {
      const error = answer.json.error.data?.error ?? answer.json.error
      expect(error).toMatchObject({ code: 'rate_limited', message: /this address/ })
      expect(answer.status).toBe(429)
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    }
    expect(leftOf(refused[3]!)).toEqual([['ip', 0]])
    expect((await app.request('GET', '/v1/models', { ip: freshIp(), token })).status).toBe(200)
  })

  test('is not asked by who must know whether the service is well, nor for its documents', async () => {
    const ip = freshIp()
    await exhaust(ip)
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/page.css']) {
      expect((await app.request('GET', path, { ip })).status, path).toBe(200)
    }
  })

  test.each([
    ['without a credential', {}],
    ['with half of one', { authorization: 'Bearer' }],
  ])('counts an upload %s once, though none of it is read', async (_, headers) => {
    const ip = freshIp()
    const status = async () => {
      const type = { 'content-type': 'multipart/form-data; boundary=x' }
      const options = { ip, headers: { ...type, ...headers }, body: '--x--' }
      return (await app.request('POST', '/v1/generate', options)).status
    }
    for (let i = 0; i < IP_RPM; i++) expect(await status()).toBe(401)
    expect(await status()).toBe(429)
    expect((await app.request('GET', '/v1/models', { ip })).status).toBe(429)
  })

  test('counts an upload with a key that never was among the refused credentials', async () => {
    const ip = freshIp()
    const headers = { 'content-type': 'multipart/form-data; boundary=x' }
    const options = { ip, headers, token: `nb_live_${'x'.repeat(32)}`, body: '--x--' }
    const upload = () => app.request('POST', '/v1/generate', options)
    for (let i = 0; i < BAD_CREDENTIALS; i++) expect((await upload()).status).toBe(401)
    expect((await upload()).json.error.message).toBe(
      'Too many refused credentials from this address.',
    )
  })

  test('counts each call of a batch, and refuses whole one that is nobody in particular', async () => {
    const ip = freshIp()
    const names = Array.from({ length: 10 }, () => 'auth.login')
    const body = Object.fromEntries(names.map((_, i) => [i, {}]))
    const path = `/trpc/${names.join(',')}?batch=1`
    const status = async () => (await app.request('POST', path, { ip, body })).status
    for (let i = 0; i < 3; i++) expect(await status()).not.toBe(429)
    await app.request('POST', '/v1/auth/login', { ip, body: {} })
    expect(await status()).toBe(429)
  })

  test('is one for a whole /64', async () => {
    await exhaust('2001:db8:0:7::1')
    const status = async (ip: string) => (await app.request('GET', '/v1/models', { ip })).status
    expect(await status('2001:db8:0:7:ffff::9')).toBe(429)
    expect(await status('2001:db8:0:8::1')).toBe(401)
  })

  test('does not follow a header that anybody can write', async () => {
    const ip = freshIp()
    for (let i = 0; i < IP_RPM; i++) {
      const headers = { 'x-forwarded-for': `198.51.100.${i}`, forwarded: `for=198.51.100.${i}` }
      await app.request('GET', '/v1/models', { ip, headers })
    }
    const headers = { 'x-forwarded-for': '198.51.100.200' }
    expect((await app.request('GET', '/v1/models', { ip, headers })).status).toBe(429)
  })

  test('follows what a trusted proxy writes, and of that only the last', async () => {
    const status = async (forged: string, client: string) => {
      const headers = { 'x-forwarded-for': `${forged}, ${client}` }
      return (await proxied.request('GET', '/v1/models', { ip: '10.9.0.1', headers })).status
    }
    for (let i = 0; i < IP_RPM; i++) await status(`198.51.100.${i}`, '203.0.113.1')
    expect(await status('198.51.100.200', '203.0.113.1')).toBe(429)
    expect(await status('198.51.100.200', '203.0.113.2')).toBe(401)
  })
})

describe('limits that are counted in the database', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await createTestApp({
      env: { RATE_LIMIT_STORE: 'postgres', RATE_LIMIT_LOGIN_PER_MINUTE: '3' },
    })
  })
  afterAll(() => app[Symbol.asyncDispose]())

  const statementsOf = async (work: () => Promise<unknown>) => {
    const before = app.database.statements.length
    await work()
    return app.database.statements.slice(before).map((text) => text.trim().split(/\s/, 1)[0])
  }

  test('cost one statement a request, whatever the number of limits', async () => {
    const account = await app.register()
    const { key } = await app.createKey(account)
    const models = (token: string) => app.request('GET', '/v1/models', { token })
    await models(key)
    expect(await statementsOf(() => models(key))).toEqual(['select', 'with'])
    expect(await statementsOf(() => models(account.token))).toEqual(['select', 'with'])
    expect(await statementsOf(() => models('nb_test_malformed'))).toEqual(['with'])
    expect(await statementsOf(() => app.request('GET', '/healthz'))).toEqual([])
  })

  test('hold until their window ends, by the clock of the database', async () => {
    const account = await app.register()
    const { key: token } = await app.createKey(account, { requests_per_minute: 2 })
    const status = async () => (await app.request('GET', '/v1/models', { token })).status
    expect([await status(), await status(), await status()]).toEqual([200, 200, 429])
    await sql`update rate_limits set expires_at = expires_at - interval '1 minute'`.execute(
      app.database.handle.db,
    )
    expect([await status(), await status(), await status()]).toEqual([200, 200, 429])
  })

  test('do not pass twice where two windows meet', async () => {
    const account = await app.register()
    const { key: token } = await app.createKey(account, { requests_per_minute: 2 })
    const status = async () => (await app.request('GET', '/v1/models', { token })).status
    expect([await status(), await status()]).toEqual([200, 200])
    await sql`update rate_limits set expires_at = now() where rule = 'key'`.execute(
      app.database.handle.db,
    )
    expect(await status()).toBe(429)
  })

  test('can be swept', async () => {
    await sql`update rate_limits set expires_at = now()`.execute(app.database.handle.db)
    expect(await app.service.deps.rateLimiter.sweep()).toBeGreaterThan(3)
    const left = await sql`select 1 from rate_limits`.execute(app.database.handle.db)
    expect(left.rows).toEqual([])
  })
})
