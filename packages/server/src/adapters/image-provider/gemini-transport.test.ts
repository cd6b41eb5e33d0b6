import { createServer, type AddressInfo, type Socket } from 'node:net'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { markOf } from './gemini-outgoing.ts'
import { createTransport, type TransportError } from './gemini-transport.ts'

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 1_100_000 })
})
beforeEach(async () => {
  // What the test before cut off may still be open there.
  await emulator.idle()
  emulator.clearRequests()
})
afterAll(() => emulator.close())

const OPTIONS = { maxAnswerBytes: 8e6, connectTimeoutMs: 5000 }
const transport = createTransport(OPTIONS)()

const call = (
  prompt: string,
  { signal, base = emulator.url }: { signal?: AbortSignal; base?: string } = {},
) =>
  transport(`${base}/v1/models/gemini-nano-banana-2.1:generateContent`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-goog-api-key': 'x' },
    body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: prompt }] }] }),
    ...(signal === undefined ? {} : { signal }),
  })
const failure = (work: Promise<unknown>): Promise<TransportError> =>
  work.then(
    () => expect.unreachable('this should have failed'),
    (error: unknown) => error as TransportError,
  )

describe('an answer', () => {
  test('has its picture as bytes, its signatures dropped and its finishMessage kept', async () => {
    const answer = (await (await call('a banana')).json()) as {
      candidates: {
        content: { parts: { inlineData?: { data: Buffer }; thoughtSignature?: string }[] }
      }[]
    }
    const parts = answer.candidates[0]?.content.parts ?? []
    const picture = parts.find((part) => part.inlineData)?.inlineData?.data
    expect(picture?.subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]))
    for (const part of parts) expect(part.thoughtSignature ?? '').toBe('')

    const refused = (await (await call('x [[refused]]')).json()) as {
      candidates: { content: { finishMessage: string } }[]
    }
    expect(refused.candidates[0]?.content.finishMessage).toContain('Support code')
  })

  test('of the next call comes over the same connection', async () => {
    for (let n = 0; n < 3; n++) await (await call('again')).json()
    expect(emulator.requests).toHaveLength(3)
    const ports = new Set(emulator.requests.map((request) => request.headers['connection']))
    expect(ports).toEqual(new Set(['keep-alive']))
  })

  test('that is an error under 200 has the status of the error', async () => {
    const { ok, status } = await call('x [[ok-with-error]]')
    expect(ok).toBe(false)
    expect(status).toBeGreaterThanOrEqual(400)
  })
})

describe('a failure says how far the call had come', () => {
  test('nobody listens: connecting', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    const error = await failure(call('x', { base: `http://127.0.0.1:${port}` }))
    expect(error).toMatchObject({ name: 'TransportError', kind: 'network', phase: 'connecting' })
  })

  test.each([
    ['reset-before-headers', 'network', 'sent'],
    ['reset-mid-body', 'network', 'answering'],
    ['truncated', 'malformed', 'answering'],
    ['html', 'malformed', 'answering'],
    ['redirect', 'redirect', 'answering'],
    ['oversize bytes=9000000', 'too-large', 'answering'],
  ])('%s: %s, %s', async (scenario, kind, phase) => {
    const error = await failure(call(`x [[${scenario}]]`).then((answer) => answer.json()))
    expect(error).toMatchObject({ name: 'TransportError', kind, phase })
    expect(emulator.redirected).toHaveLength(0)
  })

  test('an abort is told apart, and ends the call at once', async () => {
    const controller = new AbortController()
    const running = failure(call('x [[slow-headers delayMs=5000]]', { signal: controller.signal }))
    await expect.poll(() => emulator.requests.length).toBe(1)
    controller.abort()
    expect(await running).toMatchObject({ kind: 'aborted', phase: 'sent' })
    await emulator.idle()
    expect(emulator.requests.at(-1)?.aborted).toBe(true)
  })
})

describe('a call that ends before its pictures are sent', () => {
  const REFUSAL = '{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}'
  const ANSWER = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${REFUSAL.length}\r\n\r\n${REFUSAL}`

  test.each([
    ['and stops reading', () => {}],
    ['and hangs up', (socket: Socket) => socket.end()],
    ['and resets', (socket: Socket) => setTimeout(() => socket.resetAndDestroy(), 30)],
    ['and reads on', (socket: Socket) => socket.resume()],
  ])('by an error as answer has that error: %s', async (_, then) => {
    await using server = await startServer((socket) => {
      socket.pause().write(ANSWER)
      then(socket)
    })
    const { status, ok, text } = await upload(server)
    expect({ status, ok, text: await text() }).toEqual({ status: 400, ok: false, text: REFUSAL })
    await server.idle()
  })

  test('by a reset or an end cannot have been billed: connecting', async () => {
    for (const end of ['resetAndDestroy', 'end'] as const) {
      await using server = await startServer((socket) => socket.pause()[end]())
      const error = await failure(upload(server))
      expect(error).toMatchObject({ name: 'TransportError', kind: 'network', phase: 'connecting' })
      await server.idle()
    }
  })

  test('by an abort says so, and hangs up', async () => {
    const controller = new AbortController()
    await using server = await startServer((socket) => {
      socket.pause()
      setTimeout(() => controller.abort(), 20)
    })
    const error = await failure(upload(server, controller.signal))
    expect(error).toMatchObject({ kind: 'aborted', phase: 'connecting' })
    await server.idle()
  })

  test('does not spoil the next one', async () => {
    await using server = await startServer((socket) => socket.resume().write(ANSWER))
    for (let n = 0; n < 3; n++) expect((await upload(server)).status).toBe(400)
    await server.idle()
    expect(server.connections()).toBe(3)
  })
})

/** More than lies in the buffers of a connection that nobody reads. */
const BLOB = Buffer.alloc(24e6)

function upload({ url }: { url: string }, signal?: AbortSignal): Promise<Response> {
  return createTransport(OPTIONS)([BLOB])(url, {
    method: 'POST',
    body: JSON.stringify({ data: markOf(0) }),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** A server that plays `onHead` as soon as the first bytes of a request are there. */
async function startServer(onHead: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  let accepted = 0
  const server = createServer((socket) => {
    accepted += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    socket.once('data', () => onHead(socket))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    connections: () => accepted,
    /** Resolves once the other side has hung up everywhere. */
    idle: () => {
      for (const socket of sockets) socket.resume()
      return expect.poll(() => sockets.size).toBe(0)
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('a connection whose TLS does not come about ends within its time', async () => {
  const sockets: Socket[] = []
  const mute = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
  await new Promise((resolve) => mute.once('listening', resolve))
  const { port } = mute.address() as AddressInfo
  const hasty = createTransport({ ...OPTIONS, connectTimeoutMs: 100 })()
  const error = await failure(hasty(`https://127.0.0.1:${port}/`, { method: 'POST', body: '{}' }))
  expect(error).toMatchObject({ kind: 'network', phase: 'connecting' })
  for (const socket of sockets) socket.destroy()
  mute.close()
})
