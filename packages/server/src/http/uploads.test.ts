import { Readable } from 'node:stream'
import { createTRPCClient, httpBatchLink, httpLink } from '@trpc/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../test/harness.ts'
import {
  serveUploads,
  sha256,
  type UploadRouter,
  type UploadServer,
} from '../../test/upload-server.ts'

const GENERATION = 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz'

let world: TestApp
let server: UploadServer
let key: string

beforeAll(async () => {
  world = await createTestApp()
  key = (await world.createKey(await world.register())).key
  server = await serveUploads(world.service.deps)
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const bytesOf = (length: number, seed = 1) =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 37 + seed) % 256))
const blob = (bytes: Uint8Array, type = '') => new Blob([new Uint8Array(bytes)], { type })

/** Sends a body to both faces; answers what each let through, or the error. */
async function send(body: () => BodyInit, headers: Record<string, string> = {}) {
  const answers = ['/v1/look', '/trpc/look'].map(async (path) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, ...headers },
      body: body(),
    })
    const json = await response.json()
    return json.error?.data?.error ?? json.error ?? json.result?.data ?? json
  })
  const [rest, trpc] = await Promise.all(answers)
  expect({ ...trpc, request_id: undefined }).toEqual({ ...rest, request_id: undefined })
  return rest
}
const sendJson = (body: unknown) =>
  send(() => JSON.stringify(body), { 'content-type': 'application/json' })

type Part = [name: string, value: string | Blob, filename?: string]
const sendForm = (...parts: Part[]) =>
  send(() => {
    const form = new FormData()
    for (const [name, value, filename] of parts) {
      if (typeof value === 'string') form.append(name, value)
      else if (filename === undefined) form.append(name, value)
      else form.append(name, value, filename)
    }
    return form
  })

const PROMPT: Part = ['prompt', 'a banana']

describe('images in JSON', () => {
  test('large and small ones reach the procedure in order, with what was said of them', async () => {
    const [large, small, larger] = [bytesOf(100_000), bytesOf(100), bytesOf(3 * 2 ** 20, 7)]
    const base64 = (bytes: Buffer) => bytes.toString('base64')
    const answer = await sendJson({
      prompt: 'a banana',
      images: [
        { data: base64(large), mime_type: 'image/webp' },
        { data: `data:image/png;base64,${base64(small)}` },
        { generation_id: GENERATION },
        { data: `data:image/jpeg;base64,${base64(larger)}` },
      ],
      metadata: { data: 'x'.repeat(512) },
    })
    expect(answer).toEqual({
      prompt: 'a banana',
      images: [
        { sha256: sha256(large), said: 'image/webp' },
        { sha256: sha256(small), type: 'image/png' },
        { generation_id: GENERATION },
        { sha256: sha256(larger), type: 'image/jpeg' },
      ],
      metadata: { data: 'x'.repeat(512) },
    })
  })

  test('one that is no base64 is named, whatever its length', async () => {
    const good = { data: bytesOf(2000).toString('base64') }
    for (const length of [10, 2000, 200_000]) {
      const images = [good, { data: `${'A'.repeat(length)}\n` }]
      expect(await sendJson({ prompt: 'x', images })).toMatchObject({
        code: 'invalid_image',
        param: 'images.1.data',
      })
    }
    const images = [good, { data: `https://example.com/${'x'.repeat(2000)}` }]
    expect((await sendJson({ prompt: 'x', images })).code).toBe('image_url_not_supported')
  })

  test('a text that was cut where none is taken is refused like any other', async () => {
    expect(await sendJson({ prompt: 'x', metadata: { data: 'A'.repeat(4000) } })).toMatchObject({
      code: 'invalid_input',
      param: 'metadata.data',
    })
    expect(await sendJson({ prompt: 'x', data: 'A'.repeat(4000) })).toMatchObject({
      code: 'invalid_input',
      param: 'data',
    })
  })

  test('a procedure that takes none keeps its text, up to 64 kB', async () => {
    const post = (length: number) =>
      server.app.inject({
        method: 'POST',
        url: '/v1/small',
        headers: { authorization: `Bearer ${key}` },
        payload: { data: 'A'.repeat(length) },
      })
    expect((await post(60_000)).json()).toEqual({ length: 60_000 })
    expect((await post(70_000)).json().error.code).toBe('payload_too_large')
  })

  test('chunks without a length', async () => {
    const image = bytesOf(200_000)
    const text = JSON.stringify({ prompt: 'x', images: [{ data: image.toString('base64') }] })
    const chunks = (step: number) => () =>
      Readable.from(
        Array.from({ length: Math.ceil(text.length / step) }, (_, i) =>
          Buffer.from(text.slice(i * step, (i + 1) * step)),
        ),
      )
    for (const step of [777, 70_000]) {
      const response = await fetch(`http://127.0.0.1:${server.port}/v1/look`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: chunks(step)(),
        duplex: 'half',
      } as unknown as RequestInit)
      expect((await response.json()).images).toEqual([{ sha256: sha256(image) }])
    }
  })
})

describe('forms', () => {
  test('files and references keep the order in which they arrive', async () => {
    const images = [bytesOf(10), bytesOf(300_000), bytesOf(1000)]
    const answer = await sendForm(
      ['image', blob(images[0]!, 'image/png'), 'a.png'],
      ['image', blob(images[1]!, 'image/jpeg'), 'b.jpg'],
      ['images', JSON.stringify([{ generation_id: GENERATION }])],
      PROMPT,
      ['image', blob(images[2]!), 'c'],
    )
    expect(answer.images).toEqual([
      { sha256: sha256(images[0]!), type: 'image/png' },
      { sha256: sha256(images[1]!), type: 'image/jpeg' },
      { generation_id: GENERATION },
      { sha256: sha256(images[2]!) },
    ])
  })

  test('fields are read like those of a query, metadata and images as JSON', async () => {
    const answer = await sendForm(
      ['prompt', '5 bananas\n🍌'],
      ['n', '2'],
      ['seed', '0'],
      ['size', '1K'],
      ['output_format', 'jpeg'],
      ['output_quality', '80'],
      ['user', '17'],
      ['metadata', '{"a":"1"}'],
      ['images', '[]'],
    )
    expect(answer).toEqual({
      prompt: '5 bananas\n🍌',
      n: 2,
      seed: 0,
      size: '1K',
      output_format: 'jpeg',
      output_quality: 80,
      user: '17',
      metadata: { a: '1' },
      images: [],
    })
  })

  test('a field that says it is JSON is no file', async () => {
    const metadata = new Blob(['{"a":"1"}'], { type: 'application/json' })
    expect(await sendForm(PROMPT, ['metadata', metadata])).toMatchObject({ metadata: { a: '1' } })
  })

  test('a file input that was left empty is not there', async () => {
    const body =
      '--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na banana\r\n' +
      '--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n' +
      'Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n'
    const headers = { 'content-type': 'multipart/form-data; boundary=x' }
    expect(await send(() => body, headers)).toEqual({ prompt: 'a banana' })
  })

  const bad: [string, Part[], object][] = [
    [
      'a web address',
      [['image', 'https://example.com/x.png']],
      { code: 'image_url_not_supported', param: 'image' },
    ],
    ['text in place of an image', [['image', 'banana']], { code: 'invalid_image', param: 'image' }],
    [
      'an empty file',
      [['image', blob(bytesOf(0)), 'x.png']],
      { code: 'invalid_image', param: 'images.0.data' },
    ],
    ['a file of another name', [['file', blob(bytesOf(9)), 'x.png']], { param: 'file' }],
    ['a file for a field', [['prompt', blob(bytesOf(9)), 'x.txt']], { param: 'prompt' }],
    ['an unknown field', [['zzz', '1']], { param: 'zzz' }],
    ['a field of another notation', [['metadata[a]', '1']], { param: 'metadata[a]' }],
    ['__proto__', [['__proto__', '1']], { param: '__proto__' }],
    ['constructor', [['constructor', '1']], { param: 'constructor' }],
    ['a file __proto__', [['__proto__', blob(bytesOf(9)), 'x']], { param: '__proto__' }],
    ['__proto__ in metadata', [['metadata', '{"__proto__":{"x":1}}']], { param: 'metadata' }],
    ['metadata that is no JSON', [['metadata', '{']], { param: 'metadata' }],
    ['metadata that is no object', [['metadata', '5']], { param: 'metadata' }],
    ['metadata that nests', [['metadata', '['.repeat(40)]], { code: 'invalid_input' }],
    [
      'metadata twice',
      [
        ['metadata', '{}'],
        ['metadata', '{}'],
      ],
      { param: 'metadata' },
    ],
    ['images that are no list', [['images', '{}']], { param: 'images' }],
    [
      'a scalar twice',
      [
        ['n', '1'],
        ['n', '1'],
      ],
      { param: 'n' },
    ],
    ['a prompt twice', [PROMPT], { param: 'prompt' }],
    ['a number that is none', [['n', '1e0']], { param: 'n' }],
    ['a number of another range', [['n', '5']], { param: 'n' }],
    ['a long name', [['x'.repeat(101), '1']], { code: 'invalid_input' }],
    ['a long value', [['user', 'x'.repeat(32 * 1024 + 1)]], { param: 'user' }],
    ['NUL', [['user', 'a\0b']], { param: 'user' }],
    ['51 fields', Array.from({ length: 50 }, (_, i): Part => [`f${i}`, '1']), { param: null }],
    [
      '15 files',
      Array.from({ length: 15 }, (): Part => ['image', blob(bytesOf(9)), 'x']),
      { param: 'images' },
    ],
    [
      '14 files and a reference',
      [
        ...Array.from({ length: 14 }, (): Part => ['image', blob(bytesOf(9)), 'x']),
        ['images', JSON.stringify([{ generation_id: GENERATION }])],
      ],
      { param: 'images' },
    ],
    [
      'more text than 64 kB',
      [
        ['user', 'x'.repeat(32_000)],
        ['model', 'x'.repeat(32_000)],
        ['metadata', ' '.repeat(3000)],
      ],
      { code: 'payload_too_large' },
    ],
  ]
  test.each(bad)('%s is refused', async (_, parts, error) => {
    const answer = await sendForm(PROMPT, ...parts)
    expect(answer).toMatchObject({ code: 'invalid_input', ...error })
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })

  const field = '--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na banana\r\n'
  const malformed: [string, string, string?][] = [
    ['nothing', ''],
    ['no part', '--x--\r\n'],
    ['no end', field],
    ['half an end', `${field}--x`],
    ['an end inside a head', `${field}--x\r\nContent-Disp`],
    [
      'an end inside a file',
      `${field}--x\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nabc`,
    ],
    ['another boundary', field.replace('--x', '--y')],
    ['no boundary', `${field}--x--`, 'multipart/form-data'],
    ['an empty boundary', `${field}--x--`, 'multipart/form-data; boundary='],
    ['a part without a name', `${field}--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--`],
    [
      'a part with an empty name',
      `${field}--x\r\nContent-Disposition: form-data; name=""\r\n\r\n1\r\n--x--`,
    ],
    ['no UTF-8', `${field.replace('a banana', 'a \u00ff')}--x--`],
    [
      'a long head',
      `${field}--x\r\nX: ${'x'.repeat(9000)}\r\nContent-Disposition: form-data; name="zzz"\r\n\r\n1\r\n--x--`,
    ],
  ]
  test.each(malformed)(
    '%s is refused',
    async (_, body, type = 'multipart/form-data; boundary=x') => {
      const answer = await send(() => Buffer.from(body, 'latin1'), { 'content-type': type })
      expect(answer).toMatchObject({ code: 'invalid_input' })
    },
  )

  test('a procedure that takes no images takes no forms', async () => {
    for (const path of ['/v1/small', '/trpc/small', '/trpc/nothing']) {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
        body: new FormData(),
      })
      expect(response.status, path).toBe(415)
    }
  })
})

describe('a tRPC client', () => {
  const options = () => ({
    url: `http://127.0.0.1:${server.port}/trpc`,
    headers: { authorization: `Bearer ${key}` },
  })
  const data = bytesOf(100_000)

  test('sends FormData, and JSON', async () => {
    const client = createTRPCClient<UploadRouter>({ links: [httpLink(options())] })
    const form = new FormData()
    form.append('prompt', 'a banana')
    form.append('image', blob(data, 'image/png'), 'x.png')
    const expected = { prompt: 'a banana', images: [{ sha256: sha256(data), type: 'image/png' }] }
    expect(await client.look.mutate(form as never)).toEqual(expected)
    const images = [{ data: `data:image/png;base64,${data.toString('base64')}` }]
    expect(await client.look.mutate({ prompt: 'a banana', images })).toEqual(expected)
  })

  test('sends several calls at once', async () => {
    const client = createTRPCClient<UploadRouter>({ links: [httpBatchLink(options())] })
    const others = bytesOf(5000, 3)
    const look = (bytes: Buffer) =>
      client.look.mutate({ prompt: 'x', images: [{ data: bytes.toString('base64') }] })
    expect(await Promise.all([look(data), client.small.mutate({}), look(others)])).toEqual([
      { prompt: 'x', images: [{ sha256: sha256(data) }] },
      {},
      { prompt: 'x', images: [{ sha256: sha256(others) }] },
    ])
  })
})
