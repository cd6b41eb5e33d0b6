import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDiskObjectStore } from '../src/adapters/object-store/disk.ts'
import { codeIn, errorIn, SECURITY_HEADERS } from './answers.ts'
import type { Account, TestApp, TestResponse } from './harness.ts'
import { openPort, requestText, say } from './raw-http.ts'
import { createWorld, generate } from './world.ts'

interface Made {
  id: string
  url: string
  images: [{ id: string; url: string; sha256: string; bytes: number; mime_type: string }]
}

/** What every answer that holds bytes of an image must say of them. */
const BYTES_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'cross-origin',
  'cache-control': 'private, max-age=31536000, immutable',
}

const OTHER_SECRET = 'another-test-only-secret-9876543210-zyx'

const pathOf = (url: string) => new URL(url).pathname + new URL(url).search

let app: TestApp
let alice: Account
let made: Made
let now = new Date()

beforeAll(async () => {
  app = await createWorld({ now: () => now })
  alice = await app.register()
  made = await generate(app, alice.token, { mode: 'test' })
})
afterAll(() => app[Symbol.asyncDispose]())

const content = (query = '') => `/v1/images/${made.images[0].id}/content${query}`
const read = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  app.request(method, path, { token: alice.token, headers })

describe('OUT-2: the bytes of an image', () => {
  const routes = {
    'the lasting address': () => content(),
    'the signed address': () => pathOf(made.url),
  }

  describe.each(Object.entries(routes))('%s', (_, path) => {
    test('serves what was stored, under its measured type', async () => {
      const answer = await read(path())
      const [image] = made.images
      expect(answer.status).toBe(200)
      expect(answer.headers).toMatchObject({
        ...BYTES_HEADERS,
        'content-type': image.mime_type,
        'content-length': String(image.bytes),
        'accept-ranges': 'bytes',
        etag: `"${image.sha256}"`,
      })
      const name = /^inline; filename="(img_[0-9a-z]{26})\.(?:png|jpg|webp)"$/
      expect(name.exec(String(answer.headers['content-disposition']))?.[1]).toBe(image.id)
      expect((await sharp(answer.bytes).metadata()).width).toBe(512)
    })

    test('HEAD says the same and sends nothing', async () => {
      const [head, get] = [await read(path(), {}, 'HEAD'), await read(path())]
      expect(head.bytes).toHaveLength(0)
      const withoutIds = ({ status, headers }: TestResponse) => ({
        status,
        ...headers,
        date: '',
        ratelimit: '',
        'x-request-id': '',
      })
      expect(withoutIds(head)).toEqual(withoutIds(get))
    })

    test('a reader that has it is told so', async () => {
      const etag = `"${made.images[0].sha256}"`
      for (const header of [etag, `W/${etag}`, '*', `"x", ${etag}`, `"x" ,W/${etag}`]) {
        const answer = await read(path(), { 'if-none-match': header })
        expect([answer.status, answer.text], header).toEqual([304, ''])
        expect(answer.headers).toMatchObject({
          etag,
          'cache-control': BYTES_HEADERS['cache-control'],
        })
      }
      for (const header of ['"x"', made.images[0].sha256, '', etag.toUpperCase()]) {
        expect((await read(path(), { 'if-none-match': header })).status, header).toBe(200)
      }
    })

    test('ranges', async () => {
      const whole = (await read(path())).bytes
      const size = whole.length
      const parts: [string, number, number][] = [
        ['bytes=0-0', 0, 0],
        ['bytes=0-99', 0, 99],
        ['bytes=100-199', 100, 199],
        [`bytes=${size - 1}-`, size - 1, size - 1],
        ['bytes=100-', 100, size - 1],
        ['bytes=-1', size - 1, size - 1],
        ['bytes=-100', size - 100, size - 1],
        [`bytes=-${size}`, 0, size - 1],
        ['bytes=-99999999', 0, size - 1],
        ['bytes=0-99999999', 0, size - 1],
        [`bytes=0-${size - 1}`, 0, size - 1],
      ]
      for (const [range, start, end] of parts) {
        const answer = await read(path(), { range })
        expect(answer.status, range).toBe(206)
        expect(answer.bytes.equals(whole.subarray(start, end + 1)), range).toBe(true)
        expect(answer.headers).toMatchObject({
          ...BYTES_HEADERS,
          'content-range': `bytes ${start}-${end}/${size}`,
          'content-length': String(end - start + 1),
          'content-type': made.images[0].mime_type,
        })
      }
      for (const range of [
        `bytes=${size}-`,
        `bytes=${size}-${size + 5}`,
        'bytes=-0',
        'bytes=999999999-',
      ]) {
        const answer = await read(path(), { range })
        expect([answer.status, answer.text], range).toEqual([416, ''])
        expect(answer.headers).toMatchObject({
          'content-range': `bytes */${size}`,
          'cache-control': 'no-store',
          'x-should-retry': 'false',
        })
        expect(answer.headers['etag']).toBeUndefined()
      }
      const ignored = [
        'bytes=5-2',
        'bytes=0-1,5-6',
        'bytes=-',
        'bytes=a-b',
        'items=0-5',
        'bytes 0-5',
      ]
      ignored.push(
        'bytes=0x0-5',
        'bytes= 0-5',
        'bytes=1.5-3',
        'bytes=--5',
        `bytes=${'9'.repeat(30)}-`,
      )
      for (const range of ignored) {
        const answer = await read(path(), { range })
        expect([answer.status, answer.bytes.length], range).toEqual([200, size])
      }
    })

    test('a range of another version is not joined to this one', async () => {
      const etag = `"${made.images[0].sha256}"`
      const range = 'bytes=0-9'
      expect((await read(path(), { range, 'if-range': etag })).status).toBe(206)
      for (const ifRange of ['"x"', `W/${etag}`, 'Wed, 21 Oct 2015 07:28:00 GMT']) {
        expect((await read(path(), { range, 'if-range': ifRange })).status, ifRange).toBe(200)
      }
      const known = { range, 'if-none-match': etag }
      expect((await read(path(), known)).status).toBe(304)
    })
  })

  test('bytes planted in the store are not served as what they are', async () => {
    const planted = await generate(app, alice.token, { mode: 'test' })
    const html = '<!doctype html><script>alert(document.domain)</script>'
    const [, key = ''] = /^\/files\/(.+)$/.exec(new URL(planted.url).pathname) ?? []
    await writeFile(join(app.dataDir, 'files', key), html)
    const { id } = planted.images[0]
    const { db } = app.database.handle
    await db
      .updateTable('images')
      .set({ bytes: html.length })
      .where('object_key', '=', key)
      .execute()
    for (const path of [`/v1/images/${id}/content`, pathOf(planted.url)]) {
      const answer = await read(path)
      expect(answer.text).toBe(html)
      expect(answer.headers).toMatchObject({
        ...BYTES_HEADERS,
        'content-type': expect.stringMatching(/^image\/(?:png|jpeg|webp)$/),
        'content-disposition': expect.stringMatching(/\.(?:png|jpg|webp)"$/),
      })
    }
    const thumbnail = await read(`/v1/images/${id}/content?width=64`)
    expect(thumbnail.headers['content-type']).toMatch(/^application\/json/)
    expect(thumbnail.text).not.toContain('<script>')
    await expect(
      db
        .updateTable('images')
        .set({ mime_type: 'image/svg+xml' as never })
        .execute(),
    ).rejects.toThrow(/check constraint/)
  })

  test('a refusal is not kept for a year', async () => {
    const gone = await generate(app, alice.token, { mode: 'test' })
    const key = new URL(gone.url).pathname.slice('/files/'.length)
    await app.service.deps.objectStore.delete(key)
    const base = `/v1/images/${gone.images[0].id}/content`
    for (const path of [base, `${base}?width=64`, pathOf(gone.url)]) {
      const answer = await read(path)
      expect(codeIn(answer)).toBe('not_found')
      expect(answer.headers).toMatchObject(SECURITY_HEADERS)
      for (const header of ['etag', 'content-disposition', 'accept-ranges', 'content-range']) {
        expect(answer.headers[header], header).toBeUndefined()
      }
    }
  })

  test('an image is there for its account only once its generation succeeded', async () => {
    const answer = await app.request('POST', '/v1/generate', {
      token: alice.token,
      body: { prompt: '#sandbox:content_blocked', mode: 'test' },
    })
    expect(codeIn(answer)).toBe('content_blocked')
    const path = `/v1/generations/${answer.headers['x-generation-id']}`
    expect((await read(path)).json).toMatchObject({ status: 'failed', images: [], url: null })
  })
})

describe('thumbnails', () => {
  test.each([64, 65, 256, 511])('%i pixels wide', async (width) => {
    const answer = await read(content(`?width=${width}`))
    expect(answer.headers).toMatchObject({
      ...BYTES_HEADERS,
      'content-type': 'image/webp',
      etag: `"${made.images[0].sha256}-w${width}"`,
      'content-disposition': `inline; filename="${made.images[0].id}-${width}.webp"`,
    })
    const facts = await sharp(answer.bytes).metadata()
    expect(facts).toMatchObject({ format: 'webp', width })
    const etag = String(answer.headers['etag'])
    const again = await read(content(`?width=${width}`), { 'if-none-match': etag })
    expect([again.status, again.text]).toEqual([304, ''])
  })

  test('is never larger than the image', async () => {
    const { bytes } = await read(content('?width=1024'))
    expect((await sharp(bytes).metadata()).width).toBe(512)
  })

  test.each(['63', '1025', '0', '-64', '64.0', '1e2', '', 'x', '0064', '64px', '64,65'])(
    'refuses a width of %j',
    async (width) => {
      const answer = await read(content(`?width=${width}`))
      expect(errorIn(answer)).toMatchObject({ code: 'invalid_input', param: 'width' })
    },
  )

  test('takes the same credential', async () => {
    expect(codeIn(await app.request('GET', content('?width=64')))).toBe('invalid_token')
    const [bob] = [await app.register()]
    expect(codeIn(await app.request('GET', content('?width=64'), bob))).toBe('not_found')
  })
})

describe('OUT-4: signed addresses', () => {
  const signed = () => new URL(made.url)
  const open = (path: string, method = 'GET') => app.request(method, path)

  test('open without a credential, until they expire', async () => {
    expect((await open(pathOf(made.url))).status).toBe(200)
    expect((await open(pathOf(made.url), 'HEAD')).status).toBe(200)
  })

  test('anything else about them is refused', async () => {
    const { pathname, searchParams } = signed()
    const [exp, sig] = [Number(searchParams.get('exp')), String(searchParams.get('sig'))]
    const other = await generate(app, alice.token, { mode: 'test' })
    const flipped = (sig.startsWith('A') ? 'B' : 'A') + sig.slice(1)
    const queries = [
      '',
      `?exp=${exp}`,
      `?sig=${sig}`,
      `?exp=${exp + 1}&sig=${sig}`,
      `?exp=${exp - 1}&sig=${sig}`,
      `?exp=9999999999&sig=${sig}`,
      `?exp=-1&sig=${sig}`,
      `?exp=${exp}.0&sig=${sig}`,
      `?exp=0x${exp.toString(16)}&sig=${sig}`,
      `?exp=${exp}&sig=${flipped}`,
      `?exp=${exp}&sig=${sig.slice(0, -1)}`,
      `?exp=${exp}&sig=${sig}A`,
      `?exp=${exp}&sig=`,
      `?exp=${exp}&sig=${'A'.repeat(43)}`,
      `?exp=${exp}&sig=${sig}&width=64`,
      `?exp=${exp}&sig=${sig}&x=1`,
      `?exp=${exp}&exp=${exp}&sig=${sig}`,
      `?exp=${exp}&sig=${sig}&sig=${sig}`,
      `?exp=${exp}&sig=${sig}&disposition=attachment`,
    ]
    for (const query of queries) {
      expect(codeIn(await open(pathname + query)), query).toBe('not_found')
    }
    const query = `?exp=${exp}&sig=${sig}`
    const paths = [
      new URL(other.url).pathname,
      `${pathname}/`,
      pathname.toUpperCase(),
      pathname.replace('.png', '.webp').replace('.jpg', '.png'),
      pathname.replace('/files/', '/files//'),
      pathname.replace('/u/', '/u/../u/'),
      pathname.replace('/u/', '/u/./'),
      pathname.replace('/u/', '/u%2f'),
      '/files/../../../etc/passwd',
      '/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
      '/files/..%5c..%5cetc',
      '/files/%252e%252e%252fetc',
      '/files/%c0%ae%c0%ae/etc',
      '/files//etc/passwd',
      '/files/.drafts',
      '/files/u%00',
      '/files/',
    ]
    const port = await openPort(app)
    for (const path of paths.filter((one) => one !== pathname)) {
      // On a socket, since other clients resolve dots before they send them.
      const answer = await say(port, requestText(`GET ${path}${query}`))
      // The slash inside a part is decoded to the very key that was signed.
      if (path.includes('/u%2f')) expect([200, 404]).toContain(answer.status)
      else expect([400, 404], `${path} ${answer.status}`).toContain(answer.status)
    }
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect([403, 404, 405], method).toContain((await open(pathname + query, method)).status)
    }
  })

  test('expire', async () => {
    const before = now
    const path = pathOf(made.url)
    const expires = Number(signed().searchParams.get('exp')) * 1000
    now = new Date(expires - 1)
    expect((await open(path)).status).toBe(200)
    now = new Date(expires)
    expect(codeIn(await open(path))).toBe('not_found')
    now = before
    expect(expires - now.getTime()).toBeLessThanOrEqual(3600_000)
    const fresh = await read(`/v1/generations/${made.id}`)
    expect(Date.parse(fresh.json.images[0].url_expires_at)).toBeGreaterThan(now.getTime())
  })

  test('are made anew for each reader, and their signature is in no log', async () => {
    const { json } = await read(`/v1/generations/${made.id}`)
    expect(json.url).toContain('sig=')
    await open(pathOf(json.url))
    const sig = String(new URL(json.url).searchParams.get('sig'))
    expect(JSON.stringify(app.logs)).not.toContain(sig)
  })

  test('end with their account', async () => {
    const carol = await app.register()
    const hers: Made = await generate(app, carol.token, { mode: 'test' })
    expect((await open(pathOf(hers.url))).status).toBe(200)
    const gone = await app.request('POST', '/v1/auth/delete_account', {
      token: carol.token,
      body: { password: carol.password },
    })
    expect(gone.status).toBe(204)
    expect(codeIn(await open(pathOf(hers.url)))).toBe('not_found')
    await app.service.deps.background.drain()
    const folder = join(app.dataDir, 'files')
    const store = await createDiskObjectStore({
      folder,
      signUrl: () => ({ url: '', expiresAt: null }),
    })
    expect(await store.read(new URL(hers.url).pathname.slice('/files/'.length))).toBeUndefined()
  })

  test('of another service are refused, also where new pictures are not files', async () => {
    await using inline = await createWorld({ env: { STORAGE: 'inline', JWT_SECRET: OTHER_SECRET } })
    expect(codeIn(await inline.request('GET', pathOf(made.url)))).toBe('not_found')
    expect(codeIn(await inline.request('GET', new URL(made.url).pathname))).toBe('not_found')
  })
})

describe('STORAGE=inline', () => {
  let inline: TestApp
  let carol: Account
  let hers: Made
  beforeAll(async () => {
    inline = await createWorld({ env: { STORAGE: 'inline', INLINE_RETENTION: '24h' } })
    carol = await inline.register()
    hers = await generate(inline, carol.token, { mode: 'test' })
  })
  afterAll(() => inline[Symbol.asyncDispose]())

  const get = (path: string) => inline.request('GET', path, { token: carol.token })
  const lasting = () => `http://nanobanana.test/v1/images/${hers.images[0].id}/content`

  test('the picture comes directly in the answer, and again when it is read', async () => {
    const again = await get(`/v1/generations/${hers.id}`)
    for (const one of [hers, again.json as Made]) {
      const [, type, base64 = ''] = /^data:(image\/\w+);base64,(.+)$/.exec(one.url) ?? []
      expect(type).toBe(one.images[0].mime_type)
      expect(one.images[0]).toMatchObject({
        url: one.url,
        storage: 'inline',
        expired: false,
        url_expires_at: null,
      })
      expect(Buffer.from(base64, 'base64')).toHaveLength(one.images[0].bytes)
    }
  })

  test('over tRPC too', async () => {
    const input = encodeURIComponent(JSON.stringify({ id: hers.id }))
    const answer = await get(`/trpc/generations.get?input=${input}`)
    expect(answer.json.result.data.url).toBe(hers.url)
  })

  test('lists hold the lasting address and say when it ends', async () => {
    const { json } = await get('/v1/generations?mode=test')
    expect(json.data[0]).toMatchObject({ id: hers.id, url: lasting() })
    const left = Date.parse(json.data[0].images[0].url_expires_at) - Date.now()
    expect(left).toBeGreaterThan(23 * 3600_000)
    expect(left).toBeLessThanOrEqual(24 * 3600_000)
    const bytes = await get(new URL(json.data[0].url).pathname)
    expect(bytes.headers).toMatchObject({ ...BYTES_HEADERS, etag: `"${hers.images[0].sha256}"` })
    const part = await inline.request('GET', new URL(lasting()).pathname, {
      token: carol.token,
      headers: { range: 'bytes=1-3' },
    })
    expect([part.status, part.text]).toEqual([206, bytes.bytes.subarray(1, 4).toString()])
  })

  test('after the retention the picture is gone and the answers say so', async () => {
    const { db } = inline.database.handle
    const shift = (seconds: number) =>
      db
        .updateTable('images')
        .set({ expires_at: sql<Date>`expires_at - make_interval(secs => ${seconds}::int)` })
        .execute()
    await shift(86_400 - 60)
    expect((await get(`/v1/generations/${hers.id}`)).json.url).toBe(hers.url)
    await shift(60)
    const gone = { url: null, url_expires_at: null, thumbnail_url: null, expired: true }
    for (const path of [`/v1/generations/${hers.id}`, '/v1/generations?mode=test']) {
      const { json } = await get(path)
      const one = json.data?.[0] ?? json
      expect(one).toMatchObject({ status: 'succeeded', url: null })
      expect(one.images[0]).toMatchObject({ ...gone, sha256: hers.images[0].sha256 })
    }
    for (const query of ['', '?width=64']) {
      expect(codeIn(await get(new URL(lasting()).pathname + query))).toBe('not_found')
    }
  })
})
