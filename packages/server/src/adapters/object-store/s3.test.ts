import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import S3rver from '@20minutes/s3rver'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { objectOf, objectStoreContract } from '../../ports/object-store.contract.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'
import { createS3ObjectStore, type S3Options } from './s3.ts'

const { TEST_S3_ENDPOINT, TEST_S3_BUCKET, TEST_S3_ACCESS_KEY_ID, TEST_S3_SECRET_ACCESS_KEY } =
  process.env

type Server = Pick<S3Options, 'endpoint' | 'bucket' | 'region' | 'accessKeyId' | 'secretAccessKey'>

const storeOn = (server: Server, more: Partial<S3Options> = {}) =>
  createS3ObjectStore({ ...server, urlTtlSeconds: 60, now: () => new Date(), ...more })

describe('the S3 store on s3rver', () => {
  let folder: string
  let s3rver: S3rver
  let server: Server
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 's3rver-'))
    s3rver = new S3rver({
      port: 0,
      address: '127.0.0.1',
      silent: true,
      directory: folder,
      vhostBuckets: false,
      configureBuckets: [{ name: 'pictures', configs: [] }],
    })
    const { port } = await s3rver.run()
    server = {
      endpoint: `http://127.0.0.1:${port}`,
      bucket: 'pictures',
      region: 'auto',
      accessKeyId: 'S3RVER',
      secretAccessKey: 'S3RVER',
    }
  })
  afterAll(async () => {
    await s3rver.close()
    await rm(folder, { recursive: true })
  })

  contractOn(
    () => server,
    [
      'answers all for a range of the first byte',
      'tears parallel puts of one key',
      'takes no signature of a list',
    ],
  )
  behaviourOn(() => server)

  it('gives lasting addresses under a public base, with the stored headers', async () => {
    // s3rver answers anybody, as a public bucket does.
    const publicUrl = `${server.endpoint}/${server.bucket}/`
    const store = storeOn(server, { publicUrl })
    const object = objectOf(Buffer.from('bytes'))
    await store.put(object)
    const address = await store.url(object.key)
    expect(address).toEqual({ url: `${publicUrl}${object.key}`, expiresAt: null })
    const response = await fetch(address!.url)
    expect(response.headers.get('content-type')).toBe('image/png')
    expect(response.headers.get('content-disposition')).toBe('inline; filename="img_1.png"')
    expect(response.headers.get('cache-control')).toBe('public, max-age=86400')
  })

  it('names a missing bucket and a wrong secret when it is checked', async () => {
    await expect(storeOn({ ...server, bucket: 'nowhere' }).check()).rejects.toThrow(
      'could not use bucket nowhere: the bucket does not exist (NoSuchBucket, HTTP 404)',
    )
    await expect(storeOn({ ...server, secretAccessKey: 'wrong' }).check()).rejects.toThrow(
      /the secret access key, or the access key id, is wrong \(SignatureDoesNotMatch, HTTP 403\)/,
    )
    await expect(storeOn({ ...server, accessKeyId: 'wrong' }).check()).rejects.toThrow(
      /the access key id is unknown/,
    )
  })
})

const external: Server | undefined =
  TEST_S3_ENDPOINT && TEST_S3_BUCKET && TEST_S3_ACCESS_KEY_ID && TEST_S3_SECRET_ACCESS_KEY
    ? {
        endpoint: TEST_S3_ENDPOINT,
        bucket: TEST_S3_BUCKET,
        region: 'auto',
        accessKeyId: TEST_S3_ACCESS_KEY_ID,
        secretAccessKey: TEST_S3_SECRET_ACCESS_KEY,
      }
    : undefined
const why = external ? '' : ' (skipped: TEST_S3_ENDPOINT, _BUCKET and both keys are not all set)'

describe.skipIf(external === undefined)(`the S3 store on a strict server${why}`, () => {
  const server = () => external!
  contractOn(server)
  behaviourOn(server)

  it('is refused with a wrong secret', async () => {
    const store = storeOn({ ...server(), secretAccessKey: 'wrong' })
    await expectRefusal(store.check())
    await expectRefusal(store.put(objectOf(Buffer.from('x'))))
    await expectRefusal(store.read('x.png'))
  })

  it('is refused with an unknown access key', async () => {
    const store = storeOn({ ...server(), accessKeyId: 'unknown' })
    await expectRefusal(store.check())
    await expectRefusal(store.put(objectOf(Buffer.from('x'))))
  })

  it('refuses bytes that differ from the digest it was told', async () => {
    const object = { ...objectOf(Buffer.from('one')), bytes: Buffer.from('two') }
    const store = storeOn(server())
    await expect(store.put(object)).rejects.toThrow(ObjectStoreError)
    expect(await store.read(object.key)).toBeUndefined()
  })

  const expectRefusal = (call: Promise<unknown>) =>
    expect(call).rejects.toThrow(/wrong|unknown|may not.* \(\w+, HTTP 403\)/)

  describe('shows a picture by its signed address only', () => {
    let address: URL
    beforeAll(async () => {
      const object = objectOf(Buffer.from('bytes'))
      const store = storeOn(server())
      await store.put(object)
      address = new URL((await store.url(object.key))!.url)
    })

    const changed = (change: (url: URL) => void): URL => {
      const url = new URL(address)
      change(url)
      return url
    }
    const set = (name: string, value: string) => (url: URL) => url.searchParams.set(name, value)
    const signatureOf = (url: URL) => url.searchParams.get('X-Amz-Signature')!

    it('as it is', async () => {
      expect((await fetch(address)).status).toBe(200)
    })

    it.each<[string, (url: URL) => void]>([
      ['without its signature', (url) => (url.search = '')],
      [
        'with another signature',
        (url) =>
          set(
            'X-Amz-Signature',
            signatureOf(url).replace(/^./, (c) => (c === '0' ? '1' : '0')),
          )(url),
      ],
      ['with a longer life', set('X-Amz-Expires', '6000')],
      ['with another type', set('response-content-type', 'text/html')],
      ['with a parameter more', set('response-content-disposition', 'attachment')],
      ['for another object', (url) => (url.pathname += '.png')],
    ])('not %s', async (_name, change) => {
      const { status } = await fetch(changed(change))
      expect([400, 403]).toContain(status)
    })

    it('not to write or delete', async () => {
      for (const method of ['PUT', 'DELETE']) {
        const response = await fetch(address, { method, ...(method === 'PUT' && { body: 'x' }) })
        expect(response.status).toBe(403)
      }
      expect(await (await fetch(address)).text()).toBe('bytes')
    })

    it('not after its time', async () => {
      const old = storeOn(server(), { now: () => new Date(Date.now() - 61_000) })
      const key = address.pathname.split('/').slice(2).join('/')
      const expired = await old.url(key)
      expect((await fetch(expired!.url)).status).toBe(403)
    })
  })
})

function contractOn(
  server: () => Server,
  flaws: Parameters<typeof objectStoreContract>[2] = [],
): void {
  objectStoreContract(
    'it',
    async () => ({
      store: storeOn(server(), { pageLength: 3 }),
      storeAt: (time) => storeOn(server(), { now: () => time }),
      close: async () => {},
    }),
    flaws,
  )
}

function behaviourOn(server: () => Server): void {
  it('names the file as it may be named, and signs the type', async () => {
    const store = storeOn(server())
    const object = objectOf(Buffer.from('<script>'))
    await store.put({ ...object, contentType: 'text/html', filename: 'a"\r\nb.png' })
    const address = await store.url(object.key)
    const { headers } = await fetch(address!.url)
    expect(headers.get('content-type')).toBe('image/png')
    expect(headers.get('content-disposition')).toBe('inline; filename="a___b.png"')
  })

  it('says to the second when an address ends', async () => {
    const now = new Date('2026-01-02T03:04:05.678Z')
    const address = await storeOn(server(), { now: () => now }).url('u/me/a.png')
    expect(address?.expiresAt).toEqual(new Date('2026-01-02T03:05:05.000Z'))
    const query = new URL(address!.url).searchParams
    expect(query.get('X-Amz-Date')).toBe('20260102T030405Z')
    expect(query.get('X-Amz-Expires')).toBe('60')
  })

  it('stores private caching headers with the object', async () => {
    const store = storeOn(server())
    const object = objectOf(Buffer.from('x'))
    await store.put(object)
    const { headers } = await fetch((await store.url(object.key))!.url)
    expect(headers.get('cache-control')).toBe('private, max-age=31536000, immutable')
  })
}
