import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorIn } from './answers.ts'
import type { Face } from './calls.ts'
import { createTestApp, type TestApp } from './harness.ts'
import { type RawAnswer, requestText, say } from './raw-http.ts'
import { serveUploads, type UploadServer } from './upload-server.ts'
import { generate, SMALL } from './world.ts'

const MEGABYTE = 2 ** 20
const LIMIT = 4 * MEGABYTE
/** Four of these are let in at once. */
const UPLOAD = 2 * MEGABYTE
const JSON_TYPE = 'Content-Type: application/json'
const FORM_TYPE = 'Content-Type: multipart/form-data; boundary=x'
const FORM_START = '--x\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
const PATHS: [string, Face][] = [
  ['/v1/look', 'rest'],
  ['/trpc/look', 'trpc'],
]

let world: TestApp
let server: UploadServer
let credential: string

beforeAll(async () => {
  world = await createTestApp({ env: { MAX_UPLOAD_BYTES: String(LIMIT) } })
  const { key } = await world.createKey(await world.register())
  credential = `Authorization: Bearer ${key}`
  server = await serveUploads(world.service.deps, {
    uploadsInFlightBytes: 4.5 * UPLOAD,
    timeouts: { body: 300, upload: 1500 },
  })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

/** A request without `Connection: close`, which the server is to say. */
const head = (path: string, lines: readonly string[]) =>
  requestText(`POST ${path}`, lines).replace('Connection: close\r\n', '')

/** Says the head of a request and nothing of its body, and answers the refusal. */
async function refusal(path: string, face: Face, lines: readonly string[]) {
  const answer = await say(server.port, head(path, lines))
  expect(answer).toMatchObject({ closed: true, headers: { connection: 'close' } })
  return { ...errorIn(answer, face), headers: answer.headers }
}

const LENGTHS: [string, string[]][] = [
  ['a large JSON body', [JSON_TYPE, 'Content-Length: 1000000']],
  ['JSON in chunks', [JSON_TYPE, 'Transfer-Encoding: chunked']],
  ['a form', [FORM_TYPE, 'Content-Length: 100']],
]

describe.each(PATHS)('IN-1: before a byte of the body is read, %s', (path, face) => {
  test.each(LENGTHS)('%s of a stranger is refused', async (_, lines) => {
    expect((await refusal(path, face, lines)).code).toBe('invalid_token')
    const wrong = `Authorization: Bearer nb_live_${'x'.repeat(32)}`
    expect((await refusal(path, face, [wrong, ...lines])).code).toBe('invalid_api_key')
  })

  test('a body that is too large is refused', async () => {
    for (const type of [JSON_TYPE, FORM_TYPE]) {
      const lines = [credential, type, `Content-Length: ${7 * MEGABYTE}`]
      expect((await refusal(path, face, lines)).code).toBe('payload_too_large')
    }
  })

  test('a client that asks is told to send its body, or spared it', async () => {
    const body = '{"prompt":"x"}'
    const lines = [JSON_TYPE, 'Expect: 100-continue', `Content-Length: ${body.length}`]
    const told = await say(server.port, requestText(`POST ${path}`, [credential, ...lines]), {
      write: (socket) => socket.once('data', () => socket.write(body)),
    })
    expect(told.status).toBe(100)
    expect(told.text).toMatch(/^HTTP\/1\.1 200 /)
    const spared = [FORM_TYPE, 'Expect: 100-Continue', 'Content-Length: 100']
    expect((await refusal(path, face, spared)).code).toBe('invalid_token')
  })

  test('an encoded form is refused', async () => {
    const lines = [credential, FORM_TYPE, 'Content-Encoding: gzip', 'Content-Length: 0']
    const answer = await say(server.port, requestText(`POST ${path}`, lines))
    expect(errorIn(answer, face).code).toBe('unsupported_media_type')
  })
})

test('a key without the scope is refused, whatever it brings', async () => {
  const { key } = await world.createKey(await world.register(), { scopes: ['read'] })
  const lines = [`Authorization: Bearer ${key}`, FORM_TYPE, 'Content-Length: 7']
  const answer = await say(server.port, requestText('POST /v1/look', lines, '--x--\r\n'))
  expect(errorIn(answer).code).toBe('insufficient_scope')
})

describe('IN-1: a gigabyte in chunks is cut off where the limit is', () => {
  const starts: [string, string, string][] = [
    ['JSON', JSON_TYPE, '{"prompt":"x","images":[{"data":"'],
    ['a form', FORM_TYPE, FORM_START],
  ]
  test.each(starts)('%s', async (_, type, start) => {
    const chunkOf = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
    const chunk = chunkOf('A'.repeat(MEGABYTE))
    const before = process.memoryUsage().rss
    let most = before
    let sent = 0
    const write = (socket: Socket) => {
      socket.write(chunkOf(start))
      const more = () => {
        most = Math.max(most, process.memoryUsage().rss)
        while (!socket.destroyed && sent < 1024 * MEGABYTE) {
          sent += MEGABYTE
          if (!socket.write(chunk)) return void socket.once('drain', more)
        }
      }
      more()
    }
    const lines = [credential, type, 'Transfer-Encoding: chunked']
    const answer = await say(server.port, head('/v1/look', lines), { write })
    expect(errorIn(answer)).toMatchObject({ code: 'payload_too_large', param: 'images' })
    expect(answer.closed).toBe(true)
    expect(sent).toBeLessThan(32 * MEGABYTE)
    expect(most - before).toBeLessThan(64 * MEGABYTE)
  })
})

describe('IN-1: all uploads together have a bound', () => {
  /** Begins an upload and leaves it there; answers its socket once the server has let it in. */
  async function begin(lines: readonly string[], body: string): Promise<Socket> {
    const socket = connect(server.port, '127.0.0.1')
    await new Promise((done) => socket.once('connect', done))
    socket.on('error', () => {})
    socket.write(head('/v1/look', [credential, ...lines, 'Expect: 100-continue']))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 100 /)
    socket.write(body)
    return socket
  }
  const end = (socket: Socket) => {
    const closed = new Promise((done) => socket.once('close', done))
    socket.destroy()
    return closed
  }
  const large = [JSON_TYPE, `Content-Length: ${UPLOAD}`]
  const tooMany = () => refusal('/v1/look', 'rest', [credential, ...large])

  const small = (lines: readonly string[], body: string): Promise<RawAnswer> =>
    say(server.port, requestText('POST /v1/look', [credential, ...lines], body))
  const inChunks = () =>
    small([JSON_TYPE, 'Transfer-Encoding: chunked'], 'e\r\n{"prompt":"x"}\r\n0\r\n\r\n')

  /** Asks until the server has noticed what became of the others. */
  async function until<T>(ask: () => Promise<T>, isSo: (answer: T) => boolean): Promise<T> {
    for (let i = 0; i < 200; i++) {
      const answer = await ask()
      if (isSo(answer)) return answer
      await new Promise((done) => setTimeout(done, 25))
    }
    throw new Error('it never came')
  }

  test('beyond it an upload is refused unread, until another has ended', async () => {
    expect((await inChunks()).status).toBe(200)
    const open = await Promise.all(
      Array.from({ length: 4 }, () => begin(large, '{"prompt":"x","images":[{"data":"AAAA')),
    )
    const refused = await until(tooMany, ({ code }) => code === 'overloaded')
    expect(refused.headers).toMatchObject({ 'retry-after': '2', 'x-should-retry': 'true' })
    expect(errorIn(await inChunks()).code).toBe('overloaded')
    // What is small passes by.
    expect((await small([JSON_TYPE, 'Content-Length: 14'], '{"prompt":"x"}')).status).toBe(200)
    await Promise.all(open.map(end))
    expect((await until(inChunks, ({ status }) => status === 200)).status).toBe(200)
  })

  test('one of unknown size takes the room of what it brought, once that is known', async () => {
    const { calls } = server.waiting
    const body = '11\r\n{"prompt":"wait"}\r\n0\r\n\r\n'
    const lines = [JSON_TYPE, 'Transfer-Encoding: chunked']
    for (let i = 1; i <= 5; i++) {
      await begin(lines, body)
      await until(
        async () => calls.length,
        (count) => count === i,
      )
    }
    for (const done of calls.splice(0)) done()
  })

  test('a client that goes keeps its room for as long as its images are worked on', async () => {
    const image = 'A'.repeat(UPLOAD - 100)
    const text = `{"prompt":"wait","images":[{"data":"${image}"}]}`.padEnd(UPLOAD)
    const { calls } = server.waiting
    const open = await Promise.all(Array.from({ length: 4 }, () => begin(large, text)))
    await until(
      async () => calls.length,
      (count) => count === 4,
    )
    await Promise.all(open.map(end))
    expect((await tooMany()).code).toBe('overloaded')
    for (const done of calls.splice(0)) done()
    expect((await until(inChunks, ({ status }) => status === 200)).status).toBe(200)
  })
})

describe('DOS-1: slow bodies', () => {
  /** Sends the end of a body later than a small one may come. */
  const slowly = (lines: readonly string[], start: string, rest: string) =>
    say(server.port, requestText('POST /v1/look', [credential, ...lines], start), {
      write: (socket) => setTimeout(() => socket.write(rest), 600),
    })

  test('an upload has longer than a small body', async () => {
    const length = 70_000
    const start = '{"prompt":"x"'
    const small = await slowly([JSON_TYPE, 'Content-Length: 14'], start, '}')
    expect(errorIn(small).code).toBe('request_timeout')
    const large = [JSON_TYPE, `Content-Length: ${length}`]
    const image = `,"images":[{"data":"`
    const rest = `${'A'.repeat(66_000)}"}]}`.padEnd(length - start.length - image.length)
    expect((await slowly(large, start + image, rest)).status).toBe(200)
    const never = await say(
      server.port,
      requestText('POST /v1/look', [credential, ...large], start),
    )
    expect(errorIn(never).code).toBe('request_timeout')
  })
})

test('images reach a generation by a form and as JSON, on both faces', async () => {
  const { key } = await world.createKey(await world.register())
  const made = await generate(world, key)
  const image = await world.request('GET', `/v1/images/${made.images[0].id}/content`, {
    token: key,
  })
  const fields = { prompt: 'a banana', ...SMALL }
  for (const path of ['/v1/generate', '/trpc/generate']) {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append(
      'image',
      new Blob([new Uint8Array(image.bytes)], { type: made.images[0].mime_type }),
      'x',
    )
    form.append('images', JSON.stringify([{ generation_id: made.id }]))
    const encoded = new Response(form)
    const headers = { 'content-type': encoded.headers.get('content-type') ?? '' }
    const payload = Buffer.from(await encoded.arrayBuffer())
    const images = [{ data: image.bytes.toString('base64') }, { generation_id: made.id }]
    for (const answer of [
      await world.request('POST', path, { token: key, body: payload, headers }),
      await world.request('POST', path, { token: key, body: { ...fields, images } }),
    ]) {
      const generation = answer.json.result?.data ?? answer.json
      expect(generation).toMatchObject({ parent_id: made.id, requested: { input_images: 2 } })
    }
  }
})

test('no prototype was changed, and nothing failed inside', () => {
  expect(Object.keys(Object.prototype)).toEqual([])
  expect(world.logs.filter((line) => Number(line['level']) >= 50)).toEqual([])
})
