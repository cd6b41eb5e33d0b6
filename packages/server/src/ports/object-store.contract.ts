import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ObjectStoreError,
  type ByteRange,
  type ListedObject,
  type ObjectStore,
  type ObjectToPut,
} from './object-store.ts'

interface Made {
  readonly store: ObjectStore
  /** The same store with another clock, where its own addresses expire by it. */
  storeAt?(time: Date): ObjectStore
  close(): Promise<void>
}

/** What a stand-in for the real server may get wrong through no fault of the adapter. */
type Flaw =
  | 'answers all for a range of the first byte'
  | 'tears parallel puts of one key'
  | 'takes no signature of a list'

const REFUSED_KEYS = [
  '',
  '/',
  '/etc/passwd',
  '../x',
  'a/../../x',
  'a//b',
  'a/',
  './a',
  '.a',
  'a/.b',
  'a\\b',
  'a b',
  'ä',
  'a\0',
  'a\n',
  'a?x',
  'a#x',
  'a%2e',
  'a'.repeat(600),
]

/** Makes an object to put; its name and type are those of a picture. */
export function objectOf(
  bytes: Uint8Array,
  key = `u/${randomUUID()}/${randomUUID()}.png`,
): ObjectToPut {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { key, bytes, contentType: 'image/png', sha256, filename: 'img_1.png' }
}

/** Everything the store lists. */
export async function listOf(store: ObjectStore, prefix?: string): Promise<ListedObject[]> {
  const found: ListedObject[] = []
  for await (const object of store.list(prefix)) found.push(object)
  return found
}

/** What every object store must do. */
export function objectStoreContract(
  name: string,
  create: () => Promise<Made>,
  flaws: readonly Flaw[] = [],
): void {
  /** A test that is skipped, and says so in its name, where the stand-in has the flaw. */
  function itUnless(flaw: Flaw, title: string, test: () => Promise<void>): void {
    const flawed = flaws.includes(flaw)
    it.skipIf(flawed)(flawed ? `${title} (skipped: the stand-in ${flaw})` : title, test)
  }

  describe(`${name} keeps the promises of an object store`, () => {
    let made: Made
    let store: ObjectStore
    beforeAll(async () => {
      made = await create()
      store = made.store
    })
    afterAll(() => made.close())

    async function contentOf(key: string, range?: ByteRange): Promise<Buffer | undefined> {
      const stream = await store.read(key, range)
      return stream && buffer(stream)
    }

    async function putSome(bytes: Uint8Array): Promise<string> {
      const object = objectOf(bytes)
      await store.put(object)
      return object.key
    }

    it('answers the bytes that were put', async () => {
      const bytes = randomBytes(3000)
      expect(await contentOf(await putSome(bytes))).toEqual(bytes)
    })

    it('keeps an object of one byte, of any value', async () => {
      for (const byte of [0, 10, 92, 255]) {
        const bytes = Buffer.of(byte)
        expect(await contentOf(await putSome(bytes))).toEqual(bytes)
      }
    })

    it('keeps an object of 5 MB', async () => {
      const bytes = randomBytes(5_000_000)
      const content = await contentOf(await putSome(bytes))
      expect(content?.equals(bytes)).toBe(true)
    })

    it('keeps only the view it was given, not the memory behind it', async () => {
      const view = new Uint8Array(randomBytes(100).buffer.slice(0, 60), 20, 10)
      expect(await contentOf(await putSome(view))).toEqual(Buffer.from(view))
    })

    it('replaces an object', async () => {
      const key = await putSome(Buffer.from('a long first version'))
      await store.put(objectOf(Buffer.from('second'), key))
      expect((await contentOf(key))?.toString()).toBe('second')
    })

    it('knows keys of any depth, side by side', async () => {
      const folder = randomUUID()
      const keys = [
        `${folder}.png`,
        `u/${folder}.png`,
        `u/${folder}/a/b/c/d.png`,
        `u/${folder}/a-b_c.1.png`,
      ]
      for (const key of keys) await store.put(objectOf(Buffer.from(key), key))
      for (const key of keys) expect((await contentOf(key))?.toString()).toBe(key)
    })

    it('answers undefined for a missing object, also beside and below one', async () => {
      const key = await putSome(Buffer.from('x'))
      expect(await store.read(`u/${randomUUID()}/x.png`)).toBeUndefined()
      expect(await store.read(`${key}.png`)).toBeUndefined()
      expect(await store.read(`${key}/x.png`)).toBeUndefined()
      expect(await store.read(key.slice(0, key.lastIndexOf('/')))).toBeUndefined()
    })

    it('deletes, also what is not there', async () => {
      const key = await putSome(Buffer.from('x'))
      await store.delete(key)
      expect(await store.read(key)).toBeUndefined()
      await store.delete(key)
      await store.delete(`u/${randomUUID()}/never.png`)
      await store.put(objectOf(Buffer.from('again'), key))
      expect((await contentOf(key))?.toString()).toBe('again')
    })

    it('answers ranges, both ends included', async () => {
      const key = await putSome(Buffer.from('0123456789'))
      const ranges: [ByteRange, string][] = [
        [{ start: 0, end: 2 }, '012'],
        [{ start: 3, end: 5 }, '345'],
        [{ start: 9, end: 9 }, '9'],
        [{ start: 0, end: 9 }, '0123456789'],
      ]
      for (const [range, part] of ranges) {
        expect((await contentOf(key, range))?.toString()).toBe(part)
      }
      expect(await store.read(`u/${randomUUID()}/x.png`, { start: 0, end: 0 })).toBeUndefined()
    })

    itUnless('answers all for a range of the first byte', 'answers the first byte', async () => {
      const key = await putSome(Buffer.from('0123456789'))
      expect((await contentOf(key, { start: 0, end: 0 }))?.toString()).toBe('0')
    })

    const oneWhole = 'leaves one whole object after parallel puts, and shows readers no half'
    itUnless('tears parallel puts of one key', oneWhole, async () => {
      const versions = [1, 2, 3, 4, 5, 6].map((value) => Buffer.alloc(200_000 + value, value))
      const key = await putSome(Buffer.alloc(200_001, 1))
      const whole = (content: Buffer | undefined) =>
        versions.some((version) => content?.equals(version))
      const puts = versions.map((bytes) => store.put(objectOf(bytes, key)))
      const reads = versions.map(async () => whole(await contentOf(key)))
      await Promise.all(puts)
      expect(await Promise.all(reads)).not.toContain(false)
      expect(whole(await contentOf(key))).toBe(true)
    })

    it('refuses keys that the server does not make', async () => {
      for (const key of REFUSED_KEYS) {
        await expect(store.put(objectOf(Buffer.from('x'), key))).rejects.toThrow(ObjectStoreError)
        expect(await store.read(key)).toBeUndefined()
        expect(await store.url(key)).toBeNull()
        await store.delete(key)
      }
    })

    it('gives an address that a browser can show, or none', async () => {
      const key = await putSome(Buffer.from('bytes'))
      const address = await store.url(key)
      if (address === null) return
      const response = await fetch(address.url)
      expect(response.status).toBe(200)
      expect(await response.text()).toBe('bytes')
      expect(response.headers.get('content-type')).toBe('image/png')
      expect(response.headers.get('content-disposition')).toBe('inline; filename="img_1.png"')
      if (address.expiresAt === null) return
      const secondsLeft = (address.expiresAt.getTime() - Date.now()) / 1000
      expect(secondsLeft).toBeGreaterThan(1)
      expect(secondsLeft).toBeLessThanOrEqual(7 * 86_400)
    })

    it('gives no address that outlives its time', async () => {
      const key = await putSome(Buffer.from('bytes'))
      const address = await made.storeAt?.(new Date(Date.now() - 8 * 86_400_000)).url(key)
      if (address === undefined || address === null) return
      expect(address.expiresAt?.getTime()).toBeLessThan(Date.now())
      expect((await fetch(address.url)).status).toBe(403)
    })

    const itLists = (title: string, test: () => Promise<void>) =>
      itUnless('takes no signature of a list', title, test)

    async function listed(): Promise<Map<string, ListedObject>> {
      return new Map((await listOf(store)).map((object) => [object.key, object]))
    }

    itLists('lists what is there, with its size and a time by its own clock', async () => {
      const before = Math.floor((await store.now()).getTime() / 1000) * 1000
      const kept = await Promise.all([1, 2, 3, 4, 5, 6, 7].map((n) => putSome(Buffer.alloc(n))))
      const deep = `u/${randomUUID()}/a/b/c.png`
      await store.put(objectOf(Buffer.alloc(8), deep))
      const gone = await putSome(Buffer.from('gone'))
      await store.delete(gone)
      const all = await listed()
      expect([...kept, deep].map((key) => all.get(key)?.bytes)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect(all.has(gone)).toBe(false)
      const after = (await store.now()).getTime() + 1000
      for (const key of kept) {
        const time = all.get(key)?.modifiedAt.getTime()
        expect(time).toBeGreaterThanOrEqual(before)
        expect(time).toBeLessThanOrEqual(after)
      }
    })

    itLists('lists an object that was put again once, as the newer one', async () => {
      const key = await putSome(Buffer.from('a long first version'))
      const first = (await listed()).get(key)
      await store.put(objectOf(Buffer.from('second'), key))
      const keys = (await listOf(store)).map((object) => object.key)
      expect(keys.filter((one) => one === key)).toEqual([key])
      const second = (await listed()).get(key)
      expect(second?.bytes).toBe(6)
      const times = [first, second].map((object) => object?.modifiedAt.getTime() ?? Number.NaN)
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      expect(times).not.toContain(Number.NaN)
    })

    itLists('lists only what lies under its prefix', async () => {
      const name = randomUUID()
      const strangers = [`${name}.png`, `v/${name}.png`, `u-${name}/x.png`, `uu/${name}.png`]
      for (const key of strangers) await store.put(objectOf(Buffer.from('x'), key))
      const all = await listed()
      expect(strangers.filter((key) => all.has(key))).toEqual([])
    })

    itLists('lists only what lies under another prefix, where it is told one', async () => {
      const name = randomUUID()
      const [inside, deep] = [`${name}/x.png`, `${name}/y/z.png`]
      for (const key of [inside, deep, `${name}.png`, `${name}-x/x.png`, `u/${name}/x.png`])
        await store.put(objectOf(Buffer.from('x'), key))
      const keys = (await listOf(store, `${name}/`)).map(({ key }) => key)
      expect(keys.toSorted()).toEqual([inside, deep])
      expect(await listOf(store, `${randomUUID()}/`)).toEqual([])
    })

    itLists('lists from the beginning again after a walk that was left', async () => {
      const key = await putSome(Buffer.from('x'))
      for await (const _ of store.list()) break
      expect((await listed()).has(key)).toBe(true)
    })

    itLists('lists each object while those before it are deleted and others are put', async () => {
      const keys = await Promise.all(Array.from({ length: 10 }, () => putSome(Buffer.from('x'))))
      const found = new Set<string>()
      for await (const { key } of store.list()) {
        found.add(key)
        if (!keys.includes(key)) continue
        await store.delete(key)
        await putSome(Buffer.from('later'))
      }
      expect(keys.filter((key) => !found.has(key))).toEqual([])
      const left = await listed()
      expect(keys.filter((key) => left.has(key))).toEqual([])
    })

    it('finds itself usable, each time', async () => {
      await store.check()
      await store.check()
    })
  })
}
