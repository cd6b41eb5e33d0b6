import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../server/test/harness.ts'
import { noise } from '../../server/test/pictures.ts'
import { type GenerationResult, type ImageResult, type ImageSource, NanoBanana } from './index.ts'

const HEX = /^[0-9a-f]{64}$/
const sha256 = async (bytes: Uint8Array<ArrayBuffer>) =>
  Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')

let app: TestApp
let folder: string
let baseUrl: string
let apiKey: string
let writerKey: string
let client: NanoBanana
/** May generate, but not read. */
let writer: NanoBanana
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nanobanana-sdk-'))
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  baseUrl = await app.listen()
  const user = await app.register()
  apiKey = (await app.createKey(user)).key
  client = new NanoBanana({ baseUrl, apiKey })
  writerKey = (await app.createKey(user, { scopes: ['generate'] })).key
  writer = new NanoBanana({ baseUrl, apiKey: writerKey })
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const only = ({ images }: GenerationResult): ImageResult => {
  expect(images).toHaveLength(1)
  return images[0]!
}

describe('an image that was made', () => {
  test('is read as bytes, blob and stream, and saved', async () => {
    const image = only(await client.generate({ prompt: 'a banana' }))
    expect(image.sha256).toMatch(HEX)
    expect(image.url).toMatch(/^http.*\/files\//)
    const bytes = await image.bytes()
    expect(bytes).toHaveLength(image.size)
    expect(await sha256(bytes)).toBe(image.sha256)
    const blob = await image.blob()
    expect(blob).toMatchObject({ size: image.size, type: image.mime_type })
    expect(await new Response(await image.stream()).bytes()).toEqual(bytes)
    const path = join(folder, 'saved')
    await image.save(path)
    expect(new Uint8Array(await readFile(path))).toEqual(bytes)
  })

  test('is copied and printed by its facts, with the names of the wire as JSON', async () => {
    const image = only(await client.generate({ prompt: 'a banana' }))
    expect(Object.keys(image)).not.toContain('save')
    expect(JSON.parse(JSON.stringify(image))).toMatchObject({ id: image.id, bytes: image.size })
  })

  test('is read from the service where its address is good no more', async () => {
    const { id } = await client.generate({ prompt: 'a banana' })
    const stale = new NanoBanana({
      baseUrl,
      apiKey,
      fetch: async (url, init) =>
        fetch(url.includes('/files/') ? url.replace(/exp=\d+/, 'exp=1') : url, init),
    })
    const image = only(await stale.generations.get({ id }))
    expect(await sha256(await image.bytes())).toBe(image.sha256)
  })

  test('never sends the credential to where its address points', async () => {
    const sent: { url: string; credential: string | null }[] = []
    const watched = new NanoBanana({
      baseUrl,
      apiKey,
      fetch: (url, init) => {
        sent.push({ url, credential: new Headers(init.headers).get('authorization') })
        return fetch(url, init)
      },
    })
    await only(await watched.generate({ prompt: 'a banana' })).bytes()
    expect(sent.at(-1)).toMatchObject({ url: expect.stringContaining('/files/'), credential: null })
  })

  test('is read inline, and from its lasting address in lists', async () => {
    await using inline = await createTestApp({ env: { STORAGE: 'inline' } })
    const { key } = await inline.createKey(await inline.register())
    await inline.listen()
    const { port } = inline.service.http.app.server.address() as AddressInfo
    const keeper = new NanoBanana({ baseUrl: `http://127.0.0.1:${port}`, apiKey: key })
    const image = only(await keeper.generate({ prompt: 'a banana' }))
    expect(image.url).toMatch(/^data:image\/jpeg;base64,/)
    expect(await sha256(await image.bytes())).toBe(image.sha256)
    expect((await new Response(await image.stream()).bytes()).length).toBe(image.size)
    const [listed] = (await keeper.generations.list()).data
    // The service knows itself by another name than the client does.
    expect(listed?.images[0]?.url).toMatch(/^http:\/\/nanobanana\.test\/v1\/images\/.*\/content$/)
    expect(await sha256(await listed!.images[0]!.bytes())).toBe(image.sha256)
  })
})

describe('waiting', () => {
  test('follows what takes longer than the service holds the request', async () => {
    const made = await client.generate({ prompt: 'slow #sandbox:slow=2' }, { waitSeconds: 1 })
    expect(made).toMatchObject({ status: 'succeeded' })
    expect(await sha256(await only(made).bytes())).toBe(only(made).sha256)
  })

  test('works for a key that may not read', async () => {
    const call = writer.generate({ prompt: 'slow #sandbox:slow=2' }, { waitSeconds: 1 })
    expect(await call).toMatchObject({ status: 'succeeded' })
  })

  test('is left to the caller by submit', async () => {
    const { data, status, requestId } = await client.generate
      .submit({ prompt: 'later' })
      .withResponse()
    expect(data).toMatchObject({ status: 'queued', images: [] })
    expect(status).toBe(200)
    expect(requestId).toMatch(/^req_/)
    expect(await client.generations.wait(data.id)).toMatchObject({ status: 'succeeded' })
  })

  test('rejects as what the generation failed', async () => {
    const { id } = await client.generate.submit({ prompt: 'x #sandbox:content_blocked' })
    await expect(client.generations.wait(id)).rejects.toMatchObject({
      name: 'ContentError',
      code: 'content_blocked',
      generationId: id,
    })
  })

  test('a canceled generation is answered as canceled', async () => {
    const { id } = await client.generate.submit({ prompt: 'x #sandbox:slow=20' })
    expect(await client.generations.cancel({ id })).toMatchObject({ status: 'canceled' })
    expect(await client.generations.wait(id)).toMatchObject({ status: 'canceled' })
  })

  test('an abort rejects at once and cancels the generation', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const call = client.generate({ prompt: 'aborted #sandbox:slow=60' }, { signal, waitSeconds: 1 })
    // Its id is known once the server has answered 202.
    setTimeout(() => controller.abort(), 4000)
    const begun = performance.now()
    await expect(call).rejects.toMatchObject({ name: 'AbortError' })
    // Long before the picture would be there.
    expect(performance.now() - begun).toBeLessThan(30_000)
    await expect.poll(() => statusOf('aborted'), { timeout: 10_000 }).toBe('canceled')
  })
})

const statusOf = async (word: string) =>
  (await client.generations.list({ q: word, limit: 1 })).data[0]?.status

/** A body that fails behind its first event. */
function firstEventOf({ body }: Response): ReadableStream<Uint8Array> {
  let text = ''
  let isCut = false
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      if (isCut) return
      controller.enqueue(chunk)
      text += new TextDecoder().decode(chunk)
      isCut = /^data: .*\n\n/m.test(text)
      // An error takes what was not read yet with it.
      if (isCut) setTimeout(() => controller.error(new TypeError('terminated')), 50)
    },
  })
  return body!.pipeThrough(cut)
}

describe('a stream', () => {
  test('tells what happens, with images that can be read', async () => {
    const types: string[] = []
    let image: ImageResult | null = null
    for await (const event of client.generate.stream({ prompt: 'a banana' })) {
      types.push(event.type)
      if (event.type === 'generation.image') ({ image } = event.data)
      if (event.type === 'generation.succeeded') expect(only(event.data).id).toBe(image?.id)
    }
    expect(types[0]).toBe('generation.running')
    expect(types.slice(-2)).toEqual(['generation.image', 'generation.succeeded'])
    expect(await sha256(await image!.bytes())).toBe(image!.sha256)
  })

  test('ends with the failure, and rejects where nothing began', async () => {
    let last = ''
    const blocked = client.generate.stream({ prompt: 'x #sandbox:content_blocked' })
    for await (const { type } of blocked) last = type
    expect(last).toBe('generation.failed')
    const refused = client.generate.stream({ prompt: '' })
    await expect(refused.next()).rejects.toMatchObject({ code: 'invalid_input', param: 'prompt' })
  })

  test.each([
    ['reads on from the last event', () => apiKey, 'GET', /^\/v1\/generations\/gen_/],
    [
      'repeats its request, with a key that may not read',
      () => writerKey,
      'POST',
      /^\/v1\/generate$/,
    ],
  ])('that breaks off %s', async (_, key, method, path) => {
    const sent: { method: string; path: string; lastEventId: string | null }[] = []
    const cutting = new NanoBanana({
      baseUrl,
      apiKey: key(),
      fetch: async (url, init) => {
        const lastEventId = new Headers(init.headers).get('last-event-id')
        sent.push({ method: init.method ?? 'GET', path: new URL(url).pathname, lastEventId })
        const response = await fetch(url, init)
        return sent.length === 1 ? new Response(firstEventOf(response), response) : response
      },
    })
    const types: string[] = []
    for await (const { type } of cutting.generate.stream({ prompt: 'a banana' })) types.push(type)
    expect(types).toEqual(['generation.running', 'generation.image', 'generation.succeeded'])
    expect(sent[0]).toMatchObject({ method: 'POST', lastEventId: null })
    expect(sent.at(-1)).toMatchObject({
      method,
      path: expect.stringMatching(path),
      lastEventId: '1',
    })
  })

  test('answers its headers beside itself', async () => {
    const { data, status, headers } = await client.generate
      .stream({ prompt: 'a banana' })
      .withResponse()
    expect(status).toBe(200)
    expect(headers.get('x-generation-id')).toMatch(/^gen_/)
    expect(await data.next()).toMatchObject({ value: { type: 'generation.running' } })
    await data.return?.()
  })

  test('an abort ends it at once and cancels the generation', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const stream = client.generate.stream({ prompt: 'broken #sandbox:slow=20' }, { signal })
    await stream.next()
    setTimeout(() => controller.abort(), 100)
    const rest = (async () => {
      for await (const _ of stream);
    })()
    await expect(rest).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => statusOf('broken')).toBe('canceled')
  })

  test('leaving the loop only stops listening', async () => {
    for await (const _ of client.generate.stream({ prompt: 'left #sandbox:slow=1' })) break
    await expect.poll(() => statusOf('left'), { timeout: 5000 }).toBe('succeeded')
  })
})

describe('a list', () => {
  test('is every entry when it is iterated, and one page when it is awaited', async () => {
    const owner = await app.register()
    const mine = new NanoBanana({ baseUrl, apiKey: (await app.createKey(owner)).key })
    const made: string[] = []
    for (const prompt of ['a', 'b', 'c', 'd', 'e']) {
      made.unshift((await mine.generate({ prompt })).id)
    }
    const listed: string[] = []
    for await (const { id } of mine.generations.list({ limit: 2 })) listed.push(id)
    expect(listed).toEqual(made)
    const page = await mine.generations.list({ limit: 2 })
    expect(page.data.map(({ id }) => id)).toEqual(made.slice(0, 2))
    expect(page.next_cursor).not.toBeNull()
  })
})

describe('an image that is sent', () => {
  let picture: Uint8Array<ArrayBuffer>
  let path: string
  beforeAll(async () => {
    picture = new Uint8Array(await noise(64, 64).jpeg().toBuffer())
    path = join(folder, 'reference.jpg')
    await writeFile(path, picture)
  })

  const sources: [string, () => ImageSource][] = [
    ['a File', () => new File([picture], 'a.jpg', { type: 'image/jpeg' })],
    ['a Blob', () => new Blob([picture])],
    ['a Buffer', () => Buffer.from(picture)],
    ['an ArrayBuffer', () => picture.buffer],
    ['a web stream', () => new Blob([picture]).stream()],
    ['a Node stream', () => Readable.from([picture])],
    ['a path', () => path],
    ['a file URL', () => pathToFileURL(path)],
    ['base64', () => ({ data: Buffer.from(picture).toString('base64') })],
    ['a data URL', () => `data:image/jpeg;base64,${Buffer.from(picture).toString('base64')}`],
  ]
  test.each(sources)('may be %s', async (_, source) => {
    const made = await client.generate({
      prompt: 'edit\nthis',
      images: [source()],
      n: 2,
      metadata: { a: 'b' },
    })
    expect(made).toMatchObject({
      status: 'succeeded',
      prompt: 'edit\nthis',
      metadata: { a: 'b' },
      requested: { n: 2, input_images: 1 },
    })
  })

  test('may be an earlier generation, among others in any order', async () => {
    const { id: parent } = await client.generate({ prompt: 'first' })
    const reference = { generation_id: parent }
    const file = new Blob([picture])
    for (const images of [
      [reference],
      [file, reference],
      [reference, file],
      [file, reference, reference, file],
      [reference, file, reference],
      [file, { data: Buffer.from(picture).toString('base64') }, reference],
    ]) {
      const made = await client.generate({ prompt: 'edit', images })
      expect(made).toMatchObject({
        parent_id: parent,
        requested: { input_images: images.length },
      })
    }
  })

  test('goes with a stream and with submit too', async () => {
    const params = { prompt: 'edit', images: [new Blob([picture])] }
    let last = ''
    for await (const { type } of client.generate.stream(params)) last = type
    expect(last).toBe('generation.succeeded')
    const { id } = await client.generate.submit(params)
    expect(await client.generations.wait(id)).toMatchObject({ requested: { input_images: 1 } })
  })

  test('is not fetched from the web', async () => {
    await expect(
      client.generate({ prompt: 'edit', images: ['https://example.com/a.png'] }),
    ).rejects.toMatchObject({ code: 'image_url_not_supported' })
  })

  test('that is not there rejects, and nothing is sent', async () => {
    const call = client.generate({ prompt: 'edit', images: [join(folder, 'missing.png')] })
    await expect(call).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

test('every call answers its headers beside the result', async () => {
  const { data, status, headers, requestId } = await client.models.list().withResponse()
  expect(data.data.length).toBeGreaterThan(0)
  expect(status).toBe(200)
  expect(headers.get('ratelimit')).toMatch(/^"key"/)
  expect(requestId).toBe(headers.get('x-request-id'))
  const listed = await client.generations.list({ limit: 1 }).withResponse()
  expect(listed.data.data).toHaveLength(1)
  const made = await client.generate({ prompt: 'a banana' }).withResponse()
  expect(made.headers.get('x-generation-id')).toBe(made.data.id)
})
