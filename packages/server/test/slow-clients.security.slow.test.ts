import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorIn } from './answers.ts'
import type { Face } from './calls.ts'
import type { Account, TestApp } from './harness.ts'
import { openPort, requestText, say } from './raw-http.ts'
import { createWorld, generate, SMALL } from './world.ts'

const TIMEOUTS = { headers: 250, body: 250, upload: 500, request: 900, check: 50, reading: 350 }

let app: TestApp
let port: number
let alice: Account
/** With the bounds of production, and few logins. */
let plain: TestApp
const LIMIT = 5
const env = { RATE_LIMIT_LOGIN_PER_MINUTE: String(LIMIT) }

beforeAll(async () => {
  plain = await createWorld({ env })
  app = await createWorld({ timeouts: TIMEOUTS })
  port = await openPort(app)
  alice = await app.register()
})
afterAll(async () => {
  await plain[Symbol.asyncDispose]()
  await app[Symbol.asyncDispose]()
})

/** Writes a little, again and again, for as long as the connection stands. */
const dripping = (text: string) => (socket: Socket) => {
  const timer = setInterval(() => socket.write(text), 40)
  socket.on('close', () => clearInterval(timer))
}

const JSON_TYPE = 'Content-Type: application/json'

describe('DOS-1: slow clients', () => {
  const headers: [string, string, ((socket: Socket) => void)?][] = [
    ['says nothing', ''],
    ['stops in the first line', 'GET /heal'],
    ['stops in a header', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: '],
    ['drips a header', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ', dripping('x')],
    ['drips headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\n', dripping('X: y\r\n')],
  ]
  test.each(headers)('who %s is sent away', async (_, text, write) => {
    const answer = await say(port, text, write === undefined ? {} : { write })
    expect(errorIn(answer).code).toBe('request_timeout')
    expect(answer.closed).toBe(true)
    expect(answer.ms).toBeGreaterThan(TIMEOUTS.headers * 0.9)
    expect(answer.ms).toBeLessThan(TIMEOUTS.headers + 1200)
  })

  const bodies: [string, string[], ((socket: Socket) => void)?][] = [
    ['sends no body', ['Content-Length: 100']],
    ['drips a body', ['Content-Length: 60000'], dripping(' ')],
    ['drips chunks', ['Transfer-Encoding: chunked'], dripping('1\r\n \r\n')],
    ['never sends the last chunk', ['Transfer-Encoding: chunked'], (s) => s.write('2\r\n{}\r\n')],
  ]
  test.each(bodies)('who %s is sent away', async (_, lines, write) => {
    const drag = async (path: string, face: Face) => {
      const credential = `Authorization: Bearer ${alice.token}`
      const text = requestText(`POST ${path}`, [JSON_TYPE, credential, ...lines])
      const answer = await say(port, text, write === undefined ? {} : { write })
      expect(errorIn(answer, face).code).toBe('request_timeout')
      expect(answer).toMatchObject({ closed: true, headers: { connection: 'close' } })
      expect(answer.ms).toBeLessThan(TIMEOUTS.upload + 1200)
    }
    await Promise.all([
      drag('/v1/auth/login', 'rest'),
      drag('/v1/generate', 'rest'),
      drag('/trpc/auth.login', 'trpc'),
    ])
  })

  test('a connection that answered once is held to the same bounds', async () => {
    const first = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    const answer = await say(port, first, {
      write: (socket) => setTimeout(() => socket.write('GET /healthz HTTP/1.1\r\nX: '), 50),
    })
    expect(answer.status).toBe(200)
    expect(answer.text).toMatch(/HTTP\/1\.1 408 .*"code":"request_timeout"/s)
    expect(answer.closed).toBe(true)
  })

  test('a hundred of them do not keep others waiting', async () => {
    const slow = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0
        ? say(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ', { write: dripping('x') })
        : say(port, requestText('POST /v1/auth/login', [JSON_TYPE, 'Content-Length: 9999']), {
            write: dripping(' '),
          }),
    )
    const healthy = await say(port, requestText('GET /healthz'))
    expect(healthy.status).toBe(200)
    for (const answer of await Promise.all(slow)) {
      expect(answer).toMatchObject({ status: 408, closed: true })
    }
  })

  test('the time an image takes is not counted', async () => {
    const prompt = '#sandbox:slow=1'
    const body = JSON.stringify({ prompt, mode: 'test', ...SMALL })
    const lines = [JSON_TYPE, `Authorization: Bearer ${alice.token}`]
    const answer = await say(
      port,
      requestText('POST /v1/generate', [...lines, `Content-Length: ${body.length}`], body),
    )
    expect(answer.status).toBe(200)
    expect(answer.ms).toBeGreaterThan(TIMEOUTS.request)
  })

  describe('readers', () => {
    const SIZE = 16 * 2 ** 20
    let path: string
    beforeAll(async () => {
      const made = await generate(app, alice.token, { mode: 'test' })
      path = `/v1/images/${made.images[0].id}/content`
      const { db } = app.database.handle
      await db.updateTable('images').set({ bytes: SIZE }).execute()
      const deps = app.service.deps as { objectStore: typeof app.service.deps.objectStore }
      const block = Buffer.alloc(2 ** 20)
      const read = async () => {
        await new Promise((resolve) => setTimeout(resolve, TIMEOUTS.body + 200))
        return Readable.from(Array.from({ length: SIZE / block.length }, () => block))
      }
      deps.objectStore = { ...deps.objectStore, read }
    })

    /** Reads as `pace` says and answers how many bytes came before the connection ended. */
    const download = (pace: (socket: Socket) => void) =>
      new Promise<number>((resolve) => {
        let bytes = 0
        const socket = connect(port, '127.0.0.1', () => {
          socket.write(requestText(`GET ${path}`, [`Authorization: Bearer ${alice.token}`]))
          pace(socket)
        })
        socket.on('data', (chunk) => (bytes += chunk.length))
        socket.on('error', () => {})
        socket.on('close', () => resolve(bytes))
      })

    test('one that takes nothing is cut off', async () => {
      const bytes = await download((socket) => {
        socket.pause()
        setTimeout(() => socket.resume(), TIMEOUTS.body + 200 + TIMEOUTS.reading + 2000)
      })
      expect(bytes).toBeLessThan(SIZE)
    })

    test('one that takes a little at a time gets all of it, also when its start took long', async () => {
      const bytes = await download((socket) => {
        socket.on('data', () => {
          socket.pause()
          setTimeout(() => socket.resume(), 3)
        })
      })
      expect(bytes).toBeGreaterThan(SIZE)
    })
  })

  test('in production the bounds are those we promise', () => {
    const { server } = plain.service.http.app
    expect(server).toMatchObject({
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 65_000,
      maxRequestsPerSocket: 1000,
      connectionsCheckingInterval: 2000,
    })
    expect(server.maxConnections).toBeGreaterThan(0)
  })
})

describe('DOS-4: whose address counts', () => {
  let attempts = 0

  /** How many of these logins were let through the limit by address. */
  async function letThrough(
    one: TestApp,
    clients: readonly { ip: string; headers?: Record<string, string> }[],
  ): Promise<number> {
    let through = 0
    for (const client of clients) {
      // An address of its own, or the wait after failures in a row would be what answers.
      const body = { email: `nobody${++attempts}@example.org`, password: 'wrong password' }
      const answer = await one.request('POST', '/v1/auth/login', { ...client, body })
      expect([401, 429]).toContain(answer.status)
      if (answer.status === 401) through++
    }
    return through
  }
  const many = <T>(count: number, make: (i: number) => T) =>
    Array.from({ length: count }, (_, i) => make(i))
  const forwarded = (ip: string, value: string) => ({ ip, headers: { 'x-forwarded-for': value } })

  test('a thousand forged X-Forwarded-For are one client', async () => {
    const forged = many(1000, (i) => forwarded('203.0.113.1', `10.0.${i >> 8}.${i & 255}`))
    expect(await letThrough(plain, forged)).toBe(LIMIT)
    const names = ['x-real-ip', 'forwarded', 'cf-connecting-ip', 'true-client-ip', 'x-client-ip']
    const others = names.map((name) => ({ ip: '203.0.113.1', headers: { [name]: '10.9.9.9' } }))
    expect(await letThrough(plain, others)).toBe(0)
    const seen = plain.logs.filter((line) => line['msg'] === 'request').map((line) => line['ip'])
    expect(new Set(seen)).toEqual(new Set(['203.0.113.1']))
  })

  test('behind a listed proxy the address it saw counts', async () => {
    await using proxied = await createWorld({ env: { ...env, TRUST_PROXY: '10.0.0.0/8,fd00::/8' } })
    const through = (clients: Parameters<typeof letThrough>[1]) => letThrough(proxied, clients)
    expect(await through(many(20, (i) => forwarded('10.0.0.1', `198.51.100.${i}`)))).toBe(20)
    const spoofed = many(50, (i) => forwarded('10.0.0.1', `9.9.9.${i}, 203.0.113.7`))
    expect(await through(spoofed)).toBe(LIMIT)
    const twoProxies = many(9, (i) => forwarded('10.0.0.1', `8.8.8.${i}, 203.0.113.8, 10.0.0.2`))
    expect(await through(twoProxies)).toBe(LIMIT)
    const ipv6 = many(9, (i) => forwarded('fd00::1', `7.7.7.${i}, 203.0.113.9`))
    expect(await through(ipv6)).toBe(LIMIT)
    const unlisted = many(50, (i) => forwarded('192.0.2.1', `198.51.100.${i + 100}`))
    expect(await through(unlisted)).toBe(LIMIT)
    const mixed = many(9, (i) => forwarded(i % 2 === 0 ? '10.0.0.1' : '10.0.0.2', '203.0.113.10'))
    expect(await through(mixed)).toBe(LIMIT)
  })

  test('a thousand addresses of one /64 are one client, and so is IPv4 however it is written', async () => {
    const through = (ips: string[]) =>
      letThrough(
        plain,
        ips.map((ip) => ({ ip })),
      )
    expect(await through(many(1000, (i) => `2001:db8:1:2::${i.toString(16)}`))).toBe(LIMIT)
    expect(await through(['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:0DB8:0001:0002::9'])).toBe(0)
    expect(await through(many(20, (i) => `2001:db8:2:${i.toString(16)}::1`))).toBe(20)
    const both = many(20, (i) => (i % 2 === 0 ? '192.0.2.50' : '::ffff:192.0.2.50'))
    expect(await through(both)).toBe(LIMIT)
    expect(await through(many(20, (i) => `::ffff:192.0.2.${i + 100}`))).toBe(20)
  })

  test('refused credentials have a bucket of their own, by the same address', async () => {
    const codes = new Map<string, number>()
    for (let i = 0; i < 100; i++) {
      const headers = { 'x-forwarded-for': `10.1.1.${i}` }
      const token = `nb_live_${String(i).padStart(32, 'x')}`
      const answer = await plain.request('GET', '/v1/models', { ip: '203.0.113.1', token, headers })
      const { code } = errorIn(answer)
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    expect(Object.fromEntries(codes)).toEqual({ invalid_api_key: 30, rate_limited: 70 })
    const elsewhere = await plain.request('GET', '/v1/models', { ip: '203.0.113.2', token: 'x' })
    expect(errorIn(elsewhere).code).toBe('invalid_token')
  })
})
