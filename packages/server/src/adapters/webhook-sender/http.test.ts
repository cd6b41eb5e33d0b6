import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createReceiver, type Receiver } from '../../../test/webhook-receiver.ts'
import { createHttpWebhookSender } from './http.ts'
import { retryAfterSeconds } from './retry-after.ts'

const TIMEOUTS = { connectMs: 200, totalMs: 600 }
const sender = createHttpWebhookSender({
  allowPrivate: true,
  timeouts: TIMEOUTS,
  resolve: async () => ['127.0.0.1'],
})

let hook: Receiver
beforeEach(async () => {
  hook = await createReceiver()
})
afterEach(() => hook[Symbol.asyncDispose]())

const send = (url: string) =>
  sender.send({ url, headers: { 'webhook-id': 'msg_1' }, body: '{"a":"ü"}' })

/** What speaks no HTTP, or not much. */
async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

test('a message is one POST of JSON to the name it was given', async () => {
  expect(await send(`http://hook.example:${hook.port}/a/b?c=d`)).toEqual({
    status: 204,
    retryAfterSeconds: undefined,
  })
  const [{ path, headers, body } = { path: '', headers: {}, body: '' }] = hook.received
  expect({ path, body }).toEqual({ path: '/a/b?c=d', body: '{"a":"ü"}' })
  expect(headers).toEqual({
    host: `hook.example:${hook.port}`,
    'user-agent': 'NanoBanana-Webhooks/1.0',
    'content-type': 'application/json',
    'content-length': '10',
    'accept-encoding': 'identity',
    connection: 'close',
    'webhook-id': 'msg_1',
  })
})

test('each message has a connection of its own', async () => {
  for (let n = 0; n < 3; n++) await send(hook.url)
  expect(hook.connections()).toBe(3)
})

test('over TLS the name is what is asked for, and what the certificate must say', async () => {
  const names: string[] = []
  const server = createTlsServer({
    SNICallback: (name, done) => {
      names.push(name)
      done(new Error('no certificate'))
    },
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  expect(await send(`https://hook.example:${port}/`)).toBeUndefined()
  expect(names).toEqual(['hook.example'])
})

test('says when to come again', async () => {
  hook.answer = (response) => response.writeHead(503, { 'retry-after': '120' }).end()
  expect(await send(hook.url)).toEqual({ status: 503, retryAfterSeconds: 120 })
})

describe('reads no more than it must:', () => {
  test('of an answer without an end 64 kB', async () => {
    let written = 0
    hook.answer = (response) => {
      response.writeHead(200)
      const chunk = Buffer.alloc(16_384)
      const more = () => {
        while (!response.destroyed) {
          written += chunk.length
          if (!response.write(chunk)) return void response.once('drain', more)
        }
      }
      more()
    }
    expect(await send(hook.url)).toMatchObject({ status: 200 })
    // What lies in the buffers of both sides comes on top.
    expect(written).toBeLessThan(16 * 2 ** 20)
  })

  test('of a body that never ends the status', async () => {
    hook.answer = (response) => void response.writeHead(201).write('x')
    const began = performance.now()
    expect(await send(hook.url)).toMatchObject({ status: 201 })
    expect(performance.now() - began).toBeLessThan(TIMEOUTS.totalMs + 300)
  })
})

describe('is not kept:', () => {
  const within = async (url: string, ms: number) => {
    const began = performance.now()
    expect(await send(url)).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(ms)
  }

  test('by an endpoint that takes the message and says nothing', async () => {
    hook.answer = () => {}
    await within(hook.url, TIMEOUTS.totalMs + 300)
    expect(hook.received).toHaveLength(1)
  })

  test('by headers that come byte by byte', async () => {
    const port = await listen((socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 200 OK\r\nX: ')
      const drip = setInterval(() => socket.write('x'), 50)
      socket.on('close', () => clearInterval(drip))
    })
    await within(`http://127.0.0.1:${port}/`, TIMEOUTS.totalMs + 300)
  })

  test('by a handshake that does not end', async () => {
    const port = await listen((socket) => void socket.on('error', () => {}))
    await within(`https://127.0.0.1:${port}/`, TIMEOUTS.connectMs + 300)
  })

  test('by a port that is closed', async () => {
    const { port } = hook
    await hook[Symbol.asyncDispose]()
    await within(`http://127.0.0.1:${port}/`, 300)
  })

  test.each([
    ['nonsense', 'nonsense\r\n\r\n'],
    [
      'another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    ],
    [
      'headers beyond measure',
      `HTTP/1.1 200 OK\r\n${`X: ${'x'.repeat(1000)}\r\n`.repeat(100)}\r\n`,
    ],
    ['nothing', ''],
  ])('by an endpoint that answers %s', async (_, text) => {
    const port = await listen((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(text))
    })
    await within(`http://127.0.0.1:${port}/`, TIMEOUTS.totalMs + 300)
  })

  test('by a name server that does not answer', async () => {
    const slow = createHttpWebhookSender({
      allowPrivate: true,
      timeouts: TIMEOUTS,
      resolve: () => new Promise(() => {}),
    })
    const began = performance.now()
    const message = { url: 'http://slow.example/', headers: {}, body: '{}' }
    expect(await slow.send(message)).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(TIMEOUTS.totalMs + 300)
  })
})

const NOW = Date.parse('2026-11-23T09:30:00Z')
test.each([
  ['0', 0],
  ['120', 120],
  ['Mon, 23 Nov 2026 09:31:00 GMT', 60],
  ['Mon, 23 Nov 2026 09:29:00 GMT', 0],
  [undefined, undefined],
  ['', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['99999999999999', undefined],
])('Retry-After: %s means %s', (header, seconds) => {
  expect(retryAfterSeconds(header, NOW)).toBe(seconds)
})
