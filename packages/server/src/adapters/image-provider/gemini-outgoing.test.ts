import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type RequestListener,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { GoogleGenAI } from '@google/genai'
import { MODELS } from '@nanobanana/shared'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { composeBody, markOf, type OutgoingBody, sendBody } from './gemini-outgoing.ts'
import { buildRequest } from './gemini-request.ts'

/** The JSON that the SDK would send: with marks, and with the pictures handed to it whole. */
async function bodiesOf(prompt: string, blobs: readonly Uint8Array[]) {
  const texts: string[] = []
  const fetch: typeof globalThis.fetch = async (_url, init) => {
    texts.push(String(init?.body))
    return Response.json({})
  }
  const { models } = new GoogleGenAI({ apiKey: 'x', vertexai: false, httpOptions: { fetch } })
  const images = blobs.map((bytes) => ({ bytes, mimeType: 'image/webp' as const }))
  const call = buildRequest(
    { model: MODELS[0]!, prompt, size: '2K', images, seed: 7, signal: AbortSignal.abort() },
    { transport: () => fetch, signal: new AbortController().signal },
  )
  const whole = blobs.map((blob) => ({
    inlineData: { mimeType: 'image/webp', data: Buffer.from(blob).toString('base64') },
  }))
  await models.generateContent(call)
  await models.generateContent({
    ...call,
    contents: [{ role: 'user', parts: [{ text: prompt }, ...whole] }],
  })
  const [marked = '', expected = ''] = texts
  return { marked, expected }
}

const textOf = (body: OutgoingBody): string =>
  Buffer.concat(Array.from(body.chunks(), (chunk) => Buffer.from(chunk))).toString()

const SLICE = 48 * 1024
const sizes = fc.oneof(
  fc.nat(50),
  fc.constantFrom(SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 2),
  fc.nat(3 * SLICE),
)
const PATTERN = Uint8Array.from({ length: 251 }, (_, at) => at * 31)
/** A view into a larger buffer, as uploads are. */
const blob = fc.tuple(sizes, fc.nat(300)).map(([size, offset]) => {
  const whole = new Uint8Array(Buffer.alloc(offset + size + 3, PATTERN))
  return whole.subarray(offset, offset + size)
})

describe('a body', () => {
  test('is to the byte what the SDK would have sent, whatever the pictures', async () => {
    const prompts = fc.string({ unit: 'binary', maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(prompts, fc.array(blob, { maxLength: 5 }), async (prompt, blobs) => {
        const { marked, expected } = await bodiesOf(prompt, blobs)
        const body = composeBody(marked, blobs)
        expect(textOf(body) === expected).toBe(true)
        expect(body.lengthBytes).toBe(Buffer.byteLength(expected))
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['is a mark', markOf(0)],
    ['holds a marked member', `x","inlineData":{"data":"${markOf(0)}"},"y":"`],
    ['holds the JSON of one', JSON.stringify({ data: markOf(1) })],
    ['holds a mark in quotes', `"data":"${markOf(0)}"`],
  ])('keeps a prompt as it is that %s', async (_, prompt) => {
    const blobs = [new Uint8Array([1, 2]), new Uint8Array([3])]
    const { marked, expected } = await bodiesOf(prompt, blobs)
    expect(textOf(composeBody(marked, blobs))).toBe(expected)
  })

  test('is not sent with a picture left out, doubled or in another order', () => {
    const json = (...marks: number[]) =>
      JSON.stringify(marks.map((index) => ({ data: markOf(index) })))
    const blobs = [new Uint8Array(1), new Uint8Array(2)]
    for (const marks of [[], [0], [1, 0], [0, 0], [0, 1, 1], [0, 2]]) {
      expect(() => composeBody(json(...marks), blobs)).toThrow('every blob once')
    }
    expect(textOf(composeBody(json(0, 1), blobs))).toBe('[{"data":"AA=="},{"data":"AAA="}]')
  })
})

describe('sending', () => {
  test('waits for a receiver that does not read, and goes on when it does', async () => {
    const arrived = Promise.withResolvers<IncomingMessage>()
    await using server = await startServer((message) => arrived.resolve(message))
    const body = countedBody()
    const sent = sendBody(server.open(), body)
    const message = await arrived.promise
    await expect.poll(() => isStill(body.taken), { interval: 50 }).toBe(true)
    expect(body.taken()).toBeLessThan(500)
    let received = 0
    for await (const piece of message) received += (piece as Buffer).length
    await sent
    expect(received).toBe(body.lengthBytes)
  })

  test('stops at an error as answer, though the receiver reads on', async () => {
    await using server = await startServer((message, response) => {
      message.resume()
      response.writeHead(400).flushHeaders()
    })
    const request = server.open()
    const body = countedBody()
    let atAnswer = Infinity
    request.once('response', () => (atAnswer = body.taken()))
    await sendBody(request, body)
    expect(body.taken()).toBeLessThanOrEqual(atAnswer + 1)
    expect(request.writableEnded).toBe(false)
  })

  test('goes on at any other answer', async () => {
    await using server = await startServer((message, response) => {
      message.resume()
      response.writeHead(200).flushHeaders()
    })
    const request = server.open()
    const body = countedBody()
    await sendBody(request, body)
    expect(request.writableEnded).toBe(true)
    expect(body.taken()).toBe(1000)
  })

  test('ends with the call while it waits', async () => {
    await using server = await startServer((message) => void message.pause())
    const request = server.open()
    const body = countedBody()
    const sent = sendBody(request, body)
    await expect.poll(() => isStill(body.taken), { interval: 50 }).toBe(true)
    request.destroy()
    await sent
    expect(body.taken()).toBeLessThan(500)
  })
})

/** Of 64 MB, more than lies in the buffers of a connection that nobody reads. */
function countedBody(): OutgoingBody & { taken(): number } {
  const chunk = 'x'.repeat(64_000)
  let taken = 0
  return {
    lengthBytes: 1000 * chunk.length,
    taken: () => taken,
    *chunks() {
      for (; taken < 1000; taken++) yield chunk
    },
  }
}

async function isStill(read: () => number): Promise<boolean> {
  const before = read()
  await new Promise((resolve) => setTimeout(resolve, 60))
  return before > 0 && read() === before
}

async function startServer(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    open: () =>
      httpRequest({ port, method: 'POST', headers: { 'content-length': 64e6 } }).on(
        'error',
        () => {},
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
