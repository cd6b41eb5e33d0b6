import { readFile } from 'node:fs/promises'
import { METHODS } from 'node:http'
import type { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { ERROR_CODES, ERRORS, type ErrorCode } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createPasswordHasher } from '../src/features/auth/password.ts'
import { createClientErrorHandler } from '../src/http/errors.ts'
import { listProcedures } from '../src/http/procedures.ts'
import type { Deps } from '../src/kernel/deps.ts'
import { createLog } from '../src/kernel/log.ts'
import { ProviderError, type ProviderErrorCode } from '../src/ports/image-provider.ts'
import type { ObjectStoreError } from '../src/ports/object-store.ts'
import { appRouter } from '../src/router.ts'
import { codeIn, errorIn, SECURITY_HEADERS } from './answers.ts'
import { callOf, freshIp, send } from './calls.ts'
import type { Account, TestApp, TestResponse } from './harness.ts'
import { openPort, requestText, say } from './raw-http.ts'
import { createWorld, formOf, missingId, SMALL } from './world.ts'

const PROCEDURES = listProcedures(appRouter)

let app: TestApp
let port: number
let alice: Account
let readKey: string

beforeAll(async () => {
  app = await createWorld()
  port = await openPort(app)
  alice = await app.register()
  readKey = (await app.createKey(alice, { scopes: ['read'] })).key
})
afterAll(() => app[Symbol.asyncDispose]())

const get = (path: string, token?: string) =>
  app.request('GET', path, { ip: freshIp(), ...(token === undefined ? {} : { token }) })
const post = (path: string, body: unknown, token?: string) =>
  app.request('POST', path, { body, ip: freshIp(), ...(token === undefined ? {} : { token }) })

/** Runs `work` while parts of the app are others. */
async function withDeps<T>(
  parts: Partial<Deps>,
  work: () => Promise<T>,
  one: TestApp = app,
): Promise<T> {
  const deps = one.service.deps as { -readonly [K in keyof Deps]: Deps[K] }
  const before = { ...deps }
  // `settings` may hold a getter, which a copy would freeze.
  const settings = deps.settings
  Object.assign(deps, parts)
  try {
    return await work()
  } finally {
    Object.assign(deps, before, { settings })
  }
}

const throwing = (error: Error) => ({
  generate: async () => {
    throw error
  },
})

const generateWith = (prompt: string, input = {}) =>
  post('/v1/generate', { prompt, ...SMALL, mode: 'test', ...input }, alice.token)

const failing = (code: ProviderErrorCode) => () =>
  withDeps({ providers: { test: throwing(new ProviderError(code, 'It failed.')) } }, () =>
    generateWith('x'),
  )

const brokenDb = (error: Error): Deps['db'] =>
  new Proxy({} as Deps['db'], {
    get: () => () => {
      throw error
    },
  })

const registerWith = (part: object) =>
  post('/v1/auth/register', {
    email: 'new@example.org',
    password: 'correct horse battery',
    ...part,
  })

const raw =
  (line: string, headers: string[] = [], body = '') =>
  async () => {
    const answer = await say(port, requestText(line, headers, body))
    return { ...answer, bytes: Buffer.from(answer.text), json: undefined }
  }

async function repeat(times: number, request: () => Promise<TestResponse>): Promise<TestResponse> {
  for (let i = 1; i < times; i++) await request()
  return request()
}

/** How each code is met; a text says why it cannot be met here. */
const WAYS: Record<ErrorCode, (() => Promise<TestResponse>) | string> = {
  invalid_input: () => post('/v1/keys', {}, alice.token),
  invalid_json: () => post('/v1/keys', '{', alice.token),
  password_too_short: () => registerWith({ password: 'short' }),
  password_too_long: () => registerWith({ password: 'x'.repeat(73) }),
  password_too_common: () => registerWith({ password: 'password123' }),
  unsupported_parameter: () => generateWith('x', { model: 'nano-banana-2-lite', size: '4K' }),
  invalid_image: 'no route takes images yet',
  image_url_not_supported: 'no route takes images yet',
  invalid_credentials: () => post('/v1/auth/login', { email: 'x@example.org', password: 'wrong' }),
  invalid_token: () => get('/v1/auth/me', 'x'),
  invalid_api_key: () => get('/v1/models', 'nb_live_x'),
  budget_exceeded: async () => {
    const { key } = await app.createKey(alice, { mode: 'live', monthly_limit_usd: 0 })
    return post('/v1/generate', { prompt: 'x', ...SMALL }, key)
  },
  insufficient_scope: () => get('/v1/usage', readKey),
  key_required: 'there are no OpenAI-compatible routes yet',
  session_required: () => get('/v1/auth/me', readKey),
  registration_closed: () => {
    const settings = { ...app.service.deps.settings, registration: { mode: 'closed' as const } }
    return withDeps({ settings }, () => registerWith({}))
  },
  not_found: () => get(`/v1/keys/${missingId('key')}`, alice.token),
  model_not_found: () => generateWith('x', { model: 'gpt' }),
  route_not_found: () => get('/v1/nowhere'),
  method_not_allowed: () => get('/v1/auth/login'),
  request_timeout: 'slow-clients.security.slow.test.ts',
  payload_too_large: () => post('/v1/auth/login', ' '.repeat(65_537)),
  uri_too_long: () => get(`/v1/keys/${'x'.repeat(8192)}`),
  unsupported_media_type: raw('POST /v1/auth/login', ['Content-Length: 2'], '{}'),
  headers_too_large: raw('GET /v1/models', [`X-Filler: ${'x'.repeat(17_000)}`]),
  email_taken: () => registerWith({ email: alice.email }),
  key_limit_reached: async () => {
    const account = await app.register()
    return repeat(26, () => post('/v1/keys', { name: 'x' }, account.token))
  },
  webhook_limit_reached: async () => {
    const account = await app.register()
    return repeat(21, () => post('/v1/webhooks', formOf('webhooks.create'), account.token))
  },
  idempotency_in_progress: 'a repeat waits for seconds first: see idempotency.test.ts',
  not_cancelable: 'generations cannot be canceled yet',
  not_deletable: 'generations cannot be deleted yet',
  content_blocked: () => generateWith('#sandbox:content_blocked'),
  no_image: () => generateWith('#sandbox:no_image'),
  idempotency_mismatch: async () => {
    const twin = (prompt: string) =>
      app.request('POST', '/v1/generate', {
        token: alice.token,
        body: { prompt, ...SMALL, mode: 'test' },
        headers: { 'idempotency-key': 'mismatch' },
      })
    await twin('x')
    return twin('y')
  },
  upstream_failed: failing('upstream_failed'),
  upstream_invalid: failing('upstream_invalid'),
  rate_limited: () => {
    const ip = freshIp()
    return repeat(40, () => app.request('GET', '/v1/models', { token: 'x', ip }))
  },
  login_throttled: () =>
    repeat(7, () => post('/v1/auth/login', { email: 'y@example.org', password: 'wrong' })),
  concurrency_limited: 'it takes a call that hangs: see idempotency.test.ts',
  internal: () => withDeps({ db: brokenDb(new Error('x')) }, () => get('/v1/models', readKey)),
  provider_not_configured: () =>
    withDeps({ providers: { test: app.service.deps.providers.test } }, () =>
      generateWith('x', { mode: 'live' }),
    ),
  upstream_unavailable: failing('upstream_unavailable'),
  upstream_rate_limited: failing('upstream_rate_limited'),
  upstream_timeout: failing('upstream_timeout'),
  overloaded: async () => {
    const full = createPasswordHasher({ cost: 4, maxInFlight: 0, maxQueued: 0 })
    return withDeps({ passwords: full }, () => registerWith({ email: 'full@example.org' }))
  },
  unavailable: () => {
    const timeout = Object.assign(new Error('statement timeout'), { code: '57014' })
    return withDeps({ db: brokenDb(timeout) }, () => get('/v1/models', readKey))
  },
  shutting_down: 'met further down',
}

/** Refusals that a repeat can change, and after which it says when. */
const WAIT = [408, 429, 503]
const PERMANENT: ErrorCode[] = ['provider_not_configured']

describe('ERR-1, ERR-2, ERR-3: every code has the one shape, its status, and says whether to repeat', () => {
  const rows = ERROR_CODES.map((code) => ({ code, way: WAYS[code] }))
  const met = rows.filter(({ way }) => typeof way === 'function')

  test.each(met)('$code', async ({ code, way }) => {
    const answer = await (way as () => Promise<TestResponse>)()
    expect(codeIn(answer), answer.text).toBe(code)
    const { retryable, status } = ERRORS[code]
    expect(answer.headers['x-should-retry']).toBe(String(retryable))
    if (retryable && status !== 500 && status !== 408) {
      expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    } else expect(answer.headers['retry-after']).toBeUndefined()
  })

  test('what a repeat cannot change, or what was paid for, is not repeated', () => {
    for (const { code } of rows) {
      const { status, retryable } = ERRORS[code]
      const waits = WAIT.includes(status) && !PERMANENT.includes(code)
      expect(retryable, code).toBe(waits || status === 500 || code === 'idempotency_in_progress')
      expect([502, 504], code).not.toContain(status)
    }
  })

  test('a login stopped for good says that waiting does not help', async () => {
    const email = 'stopped@example.org'
    const login = () => post('/v1/auth/login', { email, password: 'wrong' })
    await login()
    await app.database.handle.db
      .updateTable('login_attempts')
      .set({ failures: 100, retry_at: null })
      .execute()
    const answer = await login()
    expect(codeIn(answer)).toBe('login_throttled')
    expect(answer.headers['x-should-retry']).toBe('false')
    expect(answer.headers['retry-after']).toBeUndefined()
    await app.database.handle.db.deleteFrom('login_attempts').execute()
  })
})

describe('ERR-1, OUT-1: every route refuses in the one shape, before and after routing', () => {
  const rows = PROCEDURES.map((procedure) => ({ procedure, name: procedure.name }))
  test.each(rows)('$name', async ({ procedure, name }) => {
    const { method, path, body } = callOf('rest', procedure, formOf(name))
    const takesBody = body !== undefined
    const token = alice.token
    const statuses: [number, Parameters<TestApp['request']>[2], string?][] = [
      [405, { token }, 'PUT'],
      [414, { token, headers: {} }, undefined],
      [431, undefined],
      [400, { token, headers: { 'x-request-id': 'mine' } }],
      ...(procedure.policy.kind === 'public' ? [] : [[401, { ip: freshIp() }] as never]),
      ...(takesBody
        ? ([
            [400, { token, body: '{' }],
            [413, { token, body: ' '.repeat(65_537) }],
            [415, { token, body: 'x', headers: { 'content-type': 'text/plain' } }],
            [415, { token, body: '{}', headers: { 'content-encoding': 'gzip' } }],
          ] as never[])
        : []),
    ]
    for (const [status, options, other] of statuses) {
      if (status === 431) {
        const filler = `X-Filler: ${'x'.repeat(17_000)}`
        expect(errorIn(await say(port, requestText(`${method} ${path}`, [filler]))).code).toBe(
          'headers_too_large',
        )
        continue
      }
      const bare = path.split('?', 1)[0] ?? ''
      const target =
        status === 414
          ? `${bare}?q=${'x'.repeat(8192)}`
          : status === 400 && options?.body === undefined
            ? `${bare}?zzz=1`
            : status === 401
              ? bare
              : path
      const sent = takesBody && options?.body === undefined ? { ...options, body } : options
      const answer = await app.request(other ?? method, target, sent)
      expect(answer.status, `${method} ${target} ${answer.text}`).toBe(status)
      const error = errorIn(answer)
      if (options?.headers?.['x-request-id'] !== undefined) expect(error.request_id).toBe('mine')
    }
  })
})

describe('OUT-1: headers', () => {
  test('every success carries them, unless it serves bytes or a page', async () => {
    for (const procedure of PROCEDURES.filter((one) => one.type === 'query')) {
      const { id: _, ...input } = formOf(procedure.name)
      if (_ !== undefined) continue
      for (const face of ['rest', 'trpc'] as const) {
        const answer = await send(app, callOf(face, procedure, input), { token: alice.token })
        expect(answer.status).toBe(200)
        expect(answer.headers).toMatchObject(SECURITY_HEADERS)
      }
    }
    const key = await post('/v1/keys', { name: 'x' }, alice.token)
    expect(key.headers).toMatchObject({ 'cache-control': 'no-store' })
    for (const path of ['/healthz', '/readyz', '/openapi.json']) {
      expect((await get(path)).headers).toMatchObject(SECURITY_HEADERS)
    }
  })

  test('every answer of every route says nosniff and no-referrer, and not who we are', async () => {
    for (const { method, url } of app.service.http.routes) {
      const path = url
        .replace(':id', missingId('key'))
        .replace(':path', 'models.list')
        .replace('*', 'x')
      const answer = await app.request(method, path, { ip: freshIp() })
      expect(answer.headers, `${method} ${path}`).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'cross-origin-resource-policy': expect.stringMatching(/^(?:same|cross)-origin$/),
        'cache-control': expect.any(String),
        'x-request-id': expect.stringMatching(/^req_/),
      })
      expect(answer.headers['server']).toBeUndefined()
      expect(answer.headers['x-powered-by']).toBeUndefined()
    }
  })

  test('what is no HTTP, or not quite, is answered with them too', async () => {
    const cases: [string, number][] = [
      ['nonsense\r\n\r\n', 400],
      ['GET / HTTP/9.9\r\n\r\n', 400],
      ['GET /healthz HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n', 400],
      ['GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n', 400],
      ['GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
      ['GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
      ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
      [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
      [requestText('GET /healthz', [`Y: ${'y'.repeat(20_000)}`]), 431],
      [requestText('GET /%zz'), 400],
      [requestText('GET //'), 404],
      [requestText('GET *'), 404],
      [requestText('GET http://elsewhere.test/nowhere'), 404],
      [requestText('POST /v1/auth/login', ['Content-Length: x']), 400],
      [requestText('POST /v1/auth/login', ['Transfer-Encoding: x']), 400],
      [requestText('POST /v1/auth/login', ['Expect: nonsense', 'Content-Length: 0']), 400],
    ]
    for (const [text, status] of cases) {
      const answer = await say(port, text)
      expect(answer.status, JSON.stringify(text.slice(0, 60))).toBe(status)
      errorIn(answer)
      expect(answer.headers['x-request-id']).toMatch(/^req_/)
      expect(answer.closed).toBe(true)
    }
  })

  test('no refusal is written into an answer that is on its way', () => {
    const written: string[] = []
    const socket = Object.assign(new Writable(), {
      _httpMessage: { headersSent: true },
      end: (text: string) => void written.push(text),
    })
    const refuse = createClientErrorHandler(SECURITY_HEADERS)
    refuse(new Error('Parse Error'), socket as unknown as Socket)
    expect({ written, destroyed: socket.destroyed }).toEqual({ written: [], destroyed: true })
    const idle = Object.assign(new Writable(), { end: (text: string) => void written.push(text) })
    refuse(new Error('Parse Error'), idle as unknown as Socket)
    expect(written.join()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  })

  test('HSTS is sent where the public address is https; DOCS=false hides the reference page', async () => {
    expect((await get('/healthz')).headers['strict-transport-security']).toBeUndefined()
    expect((await get('/docs')).status).toBe(200)
    const env = { PUBLIC_URL: 'https://nanobanana.test', DOCS: 'false' }
    await using secure = await createWorld({ env })
    expect(codeIn(await secure.request('GET', '/docs'))).toBe('route_not_found')
    expect((await secure.request('GET', '/openapi.json')).status).toBe(200)
    for (const path of ['/healthz', '/nowhere', '/v1/models', '/%zz']) {
      const answer = await secure.request('GET', path)
      expect(answer.headers['strict-transport-security']).toMatch(/^max-age=31536000/)
    }
    const answer = await say(await openPort(secure), 'nonsense\r\n\r\n')
    expect(answer.headers['strict-transport-security']).toMatch(/^max-age=31536000/)
  })

  test('a request id of the caller is taken only when it can do no harm', async () => {
    for (const id of ['mine', 'a.b-c_D9', 'x'.repeat(64)]) {
      const answer = await app.request('GET', '/nowhere', { headers: { 'x-request-id': id } })
      expect(errorIn(answer).request_id).toBe(id)
    }
    for (const id of ['', 'a b', 'x'.repeat(65), 'a"b', '<b>', 'é', 'a\tb', '{}']) {
      const answer = await app.request('GET', '/nowhere', { headers: { 'x-request-id': id } })
      expect(errorIn(answer).request_id).toMatch(/^req_/)
    }
  })
})

describe('BOOT-3: exposure', () => {
  test('the routes are those of the list', async () => {
    const lines = app.service.http.routes
      .filter(({ method }) => method !== 'HEAD')
      .map(({ method, url, policy }) => {
        const scope = 'scope' in policy ? `:${policy.scope}` : ''
        return `${method} ${url} ${policy.kind}${scope}`
      })
      .toSorted()
    const list = await readFile(new URL('routes.txt', import.meta.url), 'utf8')
    expect(`${lines.join('\n')}\n`).toBe(list)
  })

  test('every path answers every method, never with a failure of ours', async () => {
    const routes = Map.groupBy(app.service.http.routes, ({ url }) => url)
    const paths = [...routes.keys(), '/', '/metrics', '/debug', '/.env', '/v1', '/trpc', '/admin']
    const calls = paths.flatMap((url) => METHODS.map((method) => ({ url, method })))
    const check = async ({ url, method }: (typeof calls)[number]) => {
      const path = url.replace(':id', missingId('key')).replace(':path', 'models.list')
      const answer = await say(port, requestText(`${method} ${path}`))
      const what = `${method} ${url}`
      if (method === 'CONNECT') return expect([0, 400, 404, 405], what).toContain(answer.status)
      expect(answer.status, what).toBeGreaterThanOrEqual(200)
      expect(answer.status, what).toBeLessThan(500)
      const taken = routes.get(url)?.map((route) => route.method)
      if (taken?.includes(method) === true) return expect(answer.status, what).not.toBe(405)
      expect([404, 405], what).toContain(answer.status)
      if (answer.status === 405) {
        expect(answer.headers['allow']?.split(', ').toSorted(), what).toEqual(taken?.toSorted())
      }
      return method === 'HEAD'
        ? undefined
        : errorIn(answer, path.startsWith('/trpc/') ? 'trpc' : 'rest')
    }
    while (calls.length > 0) await Promise.all(calls.splice(0, 25).map(check))
  })

  test('nothing is served that nobody asked for', async () => {
    for (const path of ['/metrics', '/.git/config', '/package.json', '/debug', '/files/', '/v1/']) {
      expect((await get(path)).status, path).toBe(404)
    }
  })
})

describe('closing', () => {
  /** Says something on a connection that was opened before the server began to close. */
  async function sayWhileClosing(text: string, first: (token: string) => string) {
    const other = await createWorld()
    const otherPort = await openPort(other)
    const { token } = await other.register()
    let closed: PromiseLike<void> | undefined
    const answer = await say(otherPort, first(token), {
      write: (socket) => {
        setTimeout(() => {
          closed = other[Symbol.asyncDispose]()
          setTimeout(() => socket.write(text), 50)
        }, 200)
      },
    })
    await closed
    return answer
  }
  const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'

  test('what arrives on an open connection while the server closes is refused in the one shape', async () => {
    const answer = await sayWhileClosing(HEALTH, () => '')
    expect(errorIn(answer).code).toBe('shutting_down')
    expect(answer.headers).toMatchObject({ 'retry-after': '1', connection: 'close' })
    expect(answer.closed).toBe(true)
  })

  test('an answer while the server closes is the last of its connection', async () => {
    const body = JSON.stringify({ prompt: '#sandbox:slow=0.5', mode: 'test', ...SMALL })
    const answer = await sayWhileClosing(
      HEALTH,
      (token) =>
        `POST /v1/generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    expect(answer.status).toBe(200)
    expect(answer.headers['connection']).toBe('close')
    expect(answer.text).not.toContain('HTTP/1.1 ')
    expect(answer.closed).toBe(true)
  })
})

describe('OUT-6: CORS', () => {
  const ORIGINS = ['https://app.example', 'http://localhost:5173']
  let open: TestApp
  beforeAll(async () => {
    open = await createWorld({ env: { CORS_ORIGINS: ORIGINS.join(',') } })
  })
  afterAll(() => open[Symbol.asyncDispose]())

  const preflight = (one: TestApp, origin: string, path = '/v1/generate') =>
    one.request('OPTIONS', path, {
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    })

  test('it is off by default', async () => {
    for (const origin of [...ORIGINS, 'null']) {
      const answer = await app.request('GET', '/healthz', { headers: { origin } })
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
      expect((await preflight(app, origin)).status).toBe(405)
    }
  })

  test.each(ORIGINS)('%s is let in, on successes and on errors', async (origin) => {
    const before = await preflight(open, origin)
    expect(before.status).toBe(204)
    expect(before.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, HEAD, POST, PATCH, DELETE',
      vary: expect.stringContaining('Origin'),
    })
    expect(Number(before.headers['access-control-max-age'])).toBeLessThanOrEqual(600)
    for (const path of [
      '/healthz',
      '/v1/models',
      '/nowhere',
      '/v1/keys?%zz',
      '/trpc/models.list',
    ]) {
      const answer = await open.request('GET', path, { headers: { origin } })
      expect(answer.headers['access-control-allow-origin'], path).toBe(origin)
      expect(answer.headers['vary'], path).toContain('Origin')
      expect(answer.headers['access-control-allow-credentials'], path).toBeUndefined()
    }
  })

  const STRANGERS = [
    'null',
    'http://app.example',
    'https://app.example:8443',
    'https://app.example:443',
    'https://app.example.evil.test',
    'https://app.example/',
    'https://evilapp.example',
    'https://x.app.example',
    'https://APP.example',
    'https://app.example.',
    'https://app.example@evil.test',
    'https://app.example, https://evil.test',
    'https://evil.test#https://app.example',
    'http://localhost',
    'http://localhost:51730',
    'http://127.0.0.1:5173',
    '*',
    '',
    'file://',
  ]
  test.each(STRANGERS)('%j is not let in', async (origin) => {
    for (const answer of [
      await preflight(open, origin),
      await open.request('GET', '/healthz', { headers: { origin } }),
      await open.request('GET', '/v1/models', { headers: { origin } }),
    ]) {
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
      expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
      expect(answer.headers['vary']).toContain('Origin')
      expect(answer.status).toBeLessThan(500)
    }
  })

  test('an OPTIONS that is no preflight gets no words of the plugin', async () => {
    for (const path of ['/v1/keys', '/nowhere', '/healthz']) {
      const answer = await open.request('OPTIONS', path)
      expect(answer.text).toBe('')
      expect(answer.status).toBe(204)
    }
  })
})

const CANARY = 'SECRET-CANARY'
/** What an inner error may say: where it was, what it did, and somebody's secrets. */
const INNER = `${CANARY} in /srv/app/db.ts: select * from users where email = 'x' -- nb_live_KEYCANARY0000000000000000000000 password=PASSCANARY AIzaKEYCANARY0000000000`

describe.each(['production', 'development', undefined])(
  'OUT-5: with NODE_ENV %s what is thrown inside stays inside',
  (environment) => {
    let lines: string[]
    let inner: TestApp
    let account: Account
    let made: { id: string; images: { id: string }[] }
    // Of the modules that the app was made of: errors of others would be strangers to it.
    let ports: {
      ProviderError: typeof ProviderError
      ObjectStoreError: typeof ObjectStoreError
    }

    beforeAll(async () => {
      // Modules that look at NODE_ENV do so when they are loaded.
      vi.stubEnv('NODE_ENV', environment)
      vi.resetModules()
      const [world, { createLog }, objectStore, provider] = await Promise.all([
        import('./world.ts'),
        import('../src/kernel/log.ts'),
        import('../src/ports/object-store.ts'),
        import('../src/ports/image-provider.ts'),
      ])
      ports = { ...objectStore, ...provider }
      lines = []
      const destination = { write: (line: string) => void lines.push(line) }
      inner = await world.createWorld({
        log: createLog({ level: 'debug', destination }),
        env: { SPOOL_MAX_BYTES: '0' },
      })
      account = await inner.register()
      made = await world.generate(inner, account.token, { mode: 'test' })
    })
    afterAll(async () => {
      await inner[Symbol.asyncDispose]()
      vi.unstubAllEnvs()
      vi.resetModules()
    })

    /** Sends a request to a broken app, and checks what it answers and what it logs. */
    async function fails(
      code: ErrorCode,
      parts: Partial<Deps>,
      request: () => Promise<TestResponse>,
      face: 'rest' | 'trpc' = 'rest',
    ) {
      lines.length = 0
      const answer = await withDeps(parts, request, inner)
      const error = errorIn(answer, face)
      expect(error.code, answer.text).toBe(code)
      const heads = JSON.stringify(answer.headers)
      expect(answer.text + heads).not.toMatch(/CANARY|select|\.ts|\bat .*:\d+|stack|node_modules/)
      const log = lines.join('')
      expect(log).toContain(CANARY)
      expect(log).not.toMatch(/KEYCANARY|PASSCANARY/)
      expect(log).toContain(error.request_id)
      return error
    }

    const call = (path: string, body?: unknown) =>
      inner.request(body === undefined ? 'GET' : 'POST', path, { token: account.token, body })
    const input = { prompt: 'x', mode: 'test', ...SMALL }
    const sandbox = () => inner.service.deps.providers.test
    const store = () => inner.service.deps.objectStore
    const codec = () => inner.service.deps.codec

    const databaseErrors = {
      internal: new Error(INNER),
      unavailable: Object.assign(new Error(INNER), { code: '57014' }),
    }
    const rows = PROCEDURES.flatMap((procedure) =>
      (['rest', 'trpc'] as const).map((face) => ({ procedure, face, name: procedure.name })),
    )
    test.each(rows)('the database under $name over $face', async ({ procedure, face, name }) => {
      for (const [code, error] of Object.entries(databaseErrors)) {
        const request = () =>
          send(inner, callOf(face, procedure, formOf(name)), { token: account.token })
        const shown = await fails(code as ErrorCode, { db: brokenDb(error) }, request, face)
        expect(shown.message).toBe(ERRORS[shown.code].message)
      }
    })

    test('the database under an image, and under readiness', async () => {
      const content = `/v1/images/${made.images[0]!.id}/content`
      const db = brokenDb(new Error(INNER))
      await fails('internal', { db }, () => call(content))
      lines.length = 0
      const answer = await withDeps({ db }, () => call('/readyz'), inner)
      expect([answer.status, answer.text.includes('CANARY')]).toEqual([503, false])
      expect(lines.join('')).toContain(CANARY)
    })

    test('the provider', async () => {
      const cases: [ErrorCode, Error][] = [
        ['internal', new Error(INNER)],
        ['internal', new TypeError('fetch failed', { cause: new Error(INNER) })],
        ['unavailable', Object.assign(new Error(INNER), { code: 'ECONNRESET' })],
        [
          'upstream_failed',
          new ports.ProviderError('upstream_failed', 'Refused.', { cause: new Error(INNER) }),
        ],
        [
          'upstream_unavailable',
          new ports.ProviderError('upstream_unavailable', 'Away.', { cause: new Error(INNER) }),
        ],
      ]
      for (const [code, error] of cases) {
        const providers = { test: throwing(error) }
        await fails(code, { providers }, () => call('/v1/generate', input))
        await fails(code, { providers }, () => call('/trpc/generate', input), 'trpc')
      }
    })

    test('the store, when written and when read', async () => {
      const content = `/v1/images/${made.images[0]!.id}/content`
      for (const [code, error] of [
        ['unavailable', new ports.ObjectStoreError(INNER)],
        ['unavailable', new ports.ObjectStoreError('put', { cause: new Error(INNER) })],
        ['internal', new Error(INNER)],
      ] as const) {
        const reject = () => Promise.reject(error)
        const objectStore = { ...store(), put: reject, read: reject }
        await fails(code, { objectStore }, () => call('/v1/generate', input))
        await fails(code, { objectStore }, () => call('/trpc/generate', input), 'trpc')
        for (const path of [content, `${content}?width=64`]) {
          await fails(code, { objectStore }, () => call(path))
        }
      }
      const address = { ...store(), url: () => Promise.reject(new Error(INNER)) }
      for (const path of [`/v1/generations/${made.id}`, '/v1/generations?mode=test']) {
        await fails('internal', { objectStore: address }, () => call(path))
      }
    })

    test('the codec', async () => {
      const reject = () => Promise.reject(new Error(INNER))
      const broken = { ...codec(), measure: reject, thumbnail: reject }
      await fails('internal', { codec: broken }, () => call('/v1/generate', input))
      const content = `/v1/images/${made.images[0]!.id}/content?width=65`
      await fails('internal', { codec: broken }, () => call(content))
    })

    test('what is kept of a failed generation is the sentence the caller was told', async () => {
      const providers = { test: throwing(new Error(INNER)) }
      const answer = await withDeps({ providers }, () => call('/v1/generate', input), inner)
      const { json } = await call(`/v1/generations/${answer.headers['x-generation-id']}`)
      expect(json.status).toBe('failed')
      expect(json.error).toEqual({
        type: 'api_error',
        code: 'internal',
        message: ERRORS.internal.message,
      })
      expect(sandbox()).toBeDefined()
    })
  },
)

describe('OUT-7: nothing secret is logged, whichever route it comes by', () => {
  const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlQ0FOQVJZ'
  const SECRETS = [
    `nb_live_CANARY${'0'.repeat(26)}`,
    `nb_test_CANARY${'0'.repeat(26)}`,
    'AIzaSyCANARY0123456789abcdefghijklmnopq',
    'whsec_CANARYCANARYCANARY',
    TOKEN,
    `data:image/png;base64,${Buffer.alloc(600, 'CANARY').toString('base64')}`,
    'CANARY\r\n{"level":"error"}\u2028\u001b[31mforged',
  ]
  const lines: string[] = []
  let logged: TestApp
  let account: Account

  beforeAll(async () => {
    const destination = { write: (line: string) => void lines.push(line) }
    logged = await createWorld({ log: createLog({ level: 'trace', destination }) })
    account = await logged.register()
  })
  afterAll(() => logged[Symbol.asyncDispose]())

  const HEADERS = [
    'cookie',
    'x-api-key',
    'x-goog-api-key',
    'proxy-authorization',
    'x-request-id',
    'user-agent',
    'referer',
    'idempotency-key',
    'prefer',
    'origin',
  ]
  const inHeader = (secret: string) => secret.replaceAll(/[^\x20-\x7e]/g, '')

  async function sendSecrets(path: string, method: string, secret: string, field: string) {
    const quoted = encodeURIComponent(secret)
    const headers = Object.fromEntries(HEADERS.map((name) => [name, inHeader(secret)]))
    const body = ['GET', 'DELETE'].includes(method)
      ? undefined
      : { [field]: secret, password: `CANARY ${secret}`, email: `CANARY@x.example${secret}` }
    const ip = () => freshIp()
    await logged.request(method, path, { body, headers, token: account.token, ip: ip() })
    await logged.request(method, path, {
      body,
      headers,
      token: inHeader(secret).replaceAll(' ', ''),
      ip: ip(),
    })
    for (const name of ['key', 'token', 'sig', 'api_key', 'access_token', 'q']) {
      await logged.request(method, `${path}?${name}=${quoted}`, {
        body,
        token: account.token,
        ip: ip(),
      })
    }
    await logged.request(method, `${path}?${quoted}=1`, { body, token: account.token, ip: ip() })
    if (/^(?:nb_|AIza|whsec_|eyJ)/.test(secret)) {
      await logged.request(method, `${path}/${quoted}`, { body, ip: ip() })
    }
  }

  test('by any route, as header, query, path or body', async () => {
    for (const procedure of PROCEDURES) {
      const { method, path } = callOf('rest', procedure, formOf(procedure.name))
      const field = Object.keys(formOf(procedure.name)).at(-1) ?? 'name'
      for (const secret of SECRETS) {
        await sendSecrets(path.split('?', 1)[0]!, method, secret, field)
        await sendSecrets(
          `/trpc/${procedure.name}`,
          procedure.type === 'query' ? 'GET' : 'POST',
          secret,
          field,
        )
      }
    }
    expect(lines.length).toBeGreaterThan(1000)
    expect(lines.filter((line) => /CANARY|Q0FOQVJZ|c2lnbmF0/.test(line))).toEqual([])
  }, 60_000)

  test('nor the password, token, key or prompt of what succeeds', async () => {
    lines.length = 0
    const { email, password, token } = await logged.register()
    const created = await logged.request('POST', '/v1/keys', {
      token,
      body: { name: 'NAME-CANARY', mode: 'test' },
    })
    const prompt = 'PROMPT-CANARY of a banana'
    const made = await logged.request('POST', '/v1/generate', {
      token: created.json.key,
      body: { prompt, ...SMALL, metadata: { note: 'META-CANARY' }, user: 'USER-CANARY' },
    })
    const { pathname, search } = new URL(made.json.url)
    expect((await logged.request('GET', pathname + search)).status).toBe(200)
    const log = lines.join('')
    for (const secret of [password, token, created.json.key, email, prompt, 'CANARY']) {
      expect(log).not.toContain(secret)
    }
    expect(log).not.toContain(new URLSearchParams(search).get('sig'))
  })

  test('nor what a provider, a database or a store said when it failed', async () => {
    lines.length = 0
    for (const secret of SECRETS.slice(0, 6)) {
      const error = new Error(`said ${secret} at https://h.example/v1beta?key=CANARY`, {
        cause: new Error(`Authorization: Bearer CANARYopaque x-goog-api-key: CANARY ${secret}`),
      })
      const reject = () => Promise.reject(error)
      const { objectStore } = logged.service.deps
      const broken: Partial<Deps>[] = [
        { providers: { test: throwing(error) } },
        { objectStore: { ...objectStore, put: reject } },
        { db: brokenDb(error) },
      ]
      for (const parts of broken) {
        const body = { prompt: 'x', mode: 'test', ...SMALL }
        const request = () => logged.request('POST', '/v1/generate', { token: account.token, body })
        const answer = await withDeps(parts, request, logged)
        expect(codeIn(answer)).toBe('internal')
      }
    }
    expect(lines.length).toBeGreaterThan(15)
    expect(lines.filter((line) => /CANARY|Q0FOQVJZ|c2lnbmF0/.test(line))).toEqual([])
  })

  test('every line is one JSON object of at most 16 kB', async () => {
    const long = `/v1/keys/${'x'.repeat(8000)}`
    await logged.request('GET', long, { token: account.token })
    for (const line of lines) {
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(16 * 1024)
      expect(line.endsWith('}\n') && line.indexOf('\n') === line.length - 1).toBe(true)
      expect(JSON.parse(line)).toHaveProperty('level')
      // oxlint-disable-next-line no-control-regex
      expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
    }
  })
})
