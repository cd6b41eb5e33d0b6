import { createHash } from 'node:crypto'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { objectOf } from '../../ports/object-store.contract.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'
import { createS3ObjectStore } from './s3.ts'

/** One behaviour per request; the last one repeats. */
async function storeOn(...behaviours: RequestListener[]) {
  let requests = 0
  server = createServer((request, response) => {
    const behaviour = behaviours[Math.min(requests++, behaviours.length - 1)]
    behaviour?.(request, response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const store = createS3ObjectStore({
    endpoint: `http://127.0.0.1:${port}`,
    bucket: 'pictures',
    region: 'auto',
    accessKeyId: 'key',
    secretAccessKey: 'TOP-SECRET',
    urlTtlSeconds: 60,
    requestTimeoutMs: 150,
    now: () => new Date(),
  })
  return { store, requests: () => requests }
}
let server: Server
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const answer =
  (status: number, body = ''): RequestListener =>
  (request, response) =>
    request.resume().on('end', () => response.writeHead(status).end(body))
const unavailable = answer(503, '<Error><Code>ServiceUnavailable</Code></Error>')
const denied = answer(403, '<Error><Code>AccessDenied</Code></Error>')
const noSuchKey = answer(404, '<Error><Code>NoSuchKey</Code></Error>')
const reset: RequestListener = (request) => request.socket.destroy()
const silent: RequestListener = (request) => void request.resume()
const object = objectOf(Buffer.from('picture'))

describe('the S3 store before a faulty server', () => {
  it.each([
    ['503', unavailable],
    ['a connection reset', reset],
    ['no answer', silent],
  ])('tries again after %s, twice', async (_name, fault) => {
    const { store, requests } = await storeOn(fault, fault, answer(200))
    await store.put(object)
    // The fourth looks for it.
    expect(requests()).toBe(4)
  })

  it.each([
    ['503', unavailable, /ServiceUnavailable, HTTP 503/],
    ['connection resets', reset, /ECONNRESET/],
    ['silence', silent, /ETIMEDOUT/],
  ])(
    'gives up after three times %s, in its own error with the cause',
    async (_name, fault, text) => {
      const { store, requests } = await storeOn(fault)
      const error: unknown = await store.put(object).catch((error: unknown) => error)
      expect(error).toBeInstanceOf(ObjectStoreError)
      expect((error as Error).message).toMatch(text)
      expect((error as Error).message).not.toContain('TOP-SECRET')
      expect((error as Error).cause).toBeInstanceOf(Error)
      expect(requests()).toBe(3)
    },
  )

  it('sends the same whole bytes on each try', async () => {
    const bodies: string[] = []
    const record: (status: number) => RequestListener = (status) => async (request, response) => {
      bodies.push((await buffer(request)).toString())
      response.writeHead(status).end()
    }
    const { store } = await storeOn(record(500), record(503), record(200))
    await store.put(object)
    expect(bodies).toEqual(['picture', 'picture', 'picture', ''])
  })

  it('does not try again what is refused', async () => {
    const { store, requests } = await storeOn(denied)
    await expect(store.put(object)).rejects.toThrow('the access key may not do this')
    expect(requests()).toBe(1)
  })

  const notFound = answer(404)
  const withEtag =
    (etag: string, body = ''): RequestListener =>
    (request, response) =>
      request.resume().on('end', () => response.writeHead(200, { etag }).end(body))

  it('keeps no object that cannot be read, however often it was acknowledged', async () => {
    const { store, requests } = await storeOn(answer(200), notFound)
    const error: unknown = await store.put(object).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ObjectStoreError)
    expect((error as Error).message).toContain('does not show what it has acknowledged')
    expect(requests()).toBe(4)
  })

  it('waits a little for one that is not to be read at once', async () => {
    const { store } = await storeOn(answer(200), notFound, answer(200))
    await store.put(object)
  })

  it('refuses an object of which another digest is told, unless its bytes are right', async () => {
    const other = withEtag(`"${'0'.repeat(32)}"`)
    const wrong = await storeOn(other, answer(200), answer(200, 'pictures'))
    await expect(wrong.store.put(object)).rejects.toThrow('other bytes than were sent')
    const right = await storeOn(other, answer(200), answer(200, 'picture'))
    await right.store.put(object)
    expect(right.requests()).toBe(3)
  })

  it.each([
    ['no digest', 'abc-2'],
    ['the digest of its bytes', `"${createHash('md5').update('picture').digest('hex')}"`],
  ])('reads nothing back where the ETag is %s', async (_, etag) => {
    const { store, requests } = await storeOn(withEtag(etag))
    await store.put(object)
    expect(requests()).toBe(2)
  })

  it('signs by the clock of a server that finds its own too far away', async () => {
    const dates: (string | undefined)[] = []
    const skewed =
      (status: number): RequestListener =>
      (request, response) => {
        dates.push(request.headers['x-amz-date'] as string)
        const date = new Date(Date.now() + 3_600_000).toUTCString()
        const body = status === 200 ? '' : '<Error><Code>RequestTimeTooSkewed</Code></Error>'
        request.resume().on('end', () => response.writeHead(status, { date }).end(body))
      }
    const { store } = await storeOn(skewed(403), skewed(200))
    await store.put(object)
    const [first, second] = dates.map((date = '') => Number(date.replace(/\D/g, '')))
    expect(second! - first!).toBeGreaterThan(5000)
  })

  it('takes only a missing object for missing, not a missing bucket', async () => {
    const { store } = await storeOn(
      noSuchKey,
      answer(404, '<Error><Code>NoSuchBucket</Code></Error>'),
    )
    expect(await store.read(object.key)).toBeUndefined()
    await expect(store.read(object.key)).rejects.toThrow('the bucket does not exist')
  })

  it('does not pass a whole object, or another part, for the part asked for', async () => {
    const { store } = await storeOn(answer(200, 'whole'), (_request, response) =>
      response.writeHead(206, { 'content-range': 'bytes 0-4/5' }).end('whole'),
    )
    const range = { start: 1, end: 2 }
    await expect(store.read(object.key, range)).rejects.toThrow(ObjectStoreError)
    await expect(store.read(object.key, range)).rejects.toThrow(ObjectStoreError)
  })

  it('breaks the stream of an answer that stops half way', async () => {
    const { store } = await storeOn((_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('half')
      setTimeout(() => response.destroy(), 20)
    })
    const stream = await store.read(object.key)
    await expect(buffer(stream!)).rejects.toThrow(/aborted|ECONNRESET/)
  })

  it('writes its probe once and then only reads it', async () => {
    const methods: (string | undefined)[] = []
    const noting =
      (behaviour: RequestListener): RequestListener =>
      (request, response) => {
        methods.push(request.method)
        behaviour(request, response)
      }
    const { store } = await storeOn(noting(denied), noting(answer(200)), noting(answer(200, 'ok')))
    await store.check()
    await store.check()
    expect(methods).toEqual(['GET', 'PUT', 'GET'])
  })

  it('lists page by page, again after a fault, and tells where it had to stop', async () => {
    const urls: (string | undefined)[] = []
    const page = (key: string, next?: string): RequestListener => {
      const more =
        next === undefined ? '' : `<NextContinuationToken>${next}</NextContinuationToken>`
      const object = `<Key>${key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>7</Size>`
      const body = `<ListBucketResult>${more}<Contents>${object}</Contents></ListBucketResult>`
      return (request, response) => {
        urls.push(request.url)
        answer(200, body)(request, response)
      }
    }
    const { store } = await storeOn(page('u/a.png', 'one'), reset, page('u/b.png', 'two'), denied)
    const keys: string[] = []
    const walk = async () => {
      for await (const { key } of store.list()) keys.push(key)
    }
    await expect(walk()).rejects.toThrow(ObjectStoreError)
    expect(keys).toEqual(['u/a.png', 'u/b.png'])
    expect(urls[0]).toContain('prefix=u%2F')
    expect(urls[1]).toContain('continuation-token=one')
  })

  it('tells the time by the server, not by this machine', async () => {
    const { store } = await storeOn((_request, response) =>
      response
        .writeHead(200, { date: 'Fri, 02 Jan 2026 03:04:05 GMT' })
        .end('<ListBucketResult></ListBucketResult>'),
    )
    expect(await store.now()).toEqual(new Date('2026-01-02T03:04:05Z'))
  })

  it('does not guess the time where the server tells none', async () => {
    const { store } = await storeOn((_request, response) => {
      response.sendDate = false
      response.end('<ListBucketResult></ListBucketResult>')
    })
    await expect(store.now()).rejects.toThrow(ObjectStoreError)
  })

  it('does not write a probe to a server that is down', async () => {
    const { store, requests } = await storeOn(unavailable)
    await expect(store.check()).rejects.toThrow(ObjectStoreError)
    expect(requests()).toBe(3)
  })
})
