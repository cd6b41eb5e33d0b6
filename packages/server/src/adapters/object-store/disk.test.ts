import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { objectOf, objectStoreContract } from '../../ports/object-store.contract.ts'
import { ObjectStoreError, type ObjectStore } from '../../ports/object-store.ts'
import { createDiskObjectStore } from './disk.ts'

objectStoreContract('the store on disk', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'disk-store-'))
  const files = await serveFiles(() => store)
  const store = await createDiskObjectStore({
    folder,
    signUrl: (key) => ({ url: `${files.base}/${key}`, expiresAt: new Date(Date.now() + 60_000) }),
  })
  return {
    store,
    close: async () => {
      files.close()
      await rm(folder, { recursive: true })
    },
  }
})

/** Stands in for the server's own signed addresses. */
async function serveFiles(store: () => ObjectStore) {
  const server = createServer(async (request, response) => {
    const stream = await store().read((request.url ?? '').slice(1))
    if (stream === undefined) return response.writeHead(404).end()
    response.writeHead(200, {
      'content-type': 'image/png',
      'content-disposition': 'inline; filename="img_1.png"',
    })
    return pipeline(stream, response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return { base: `http://127.0.0.1:${port}`, close: () => server.close() }
}

describe('the store on disk', () => {
  let folder: string
  const open = () =>
    createDiskObjectStore({ folder, signUrl: (key) => ({ url: key, expiresAt: null }) })
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'disk-store-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('lets nobody else read its files and folders', async () => {
    const store = await open()
    await store.put(objectOf(Buffer.from('x'), 'u/me/a.png'))
    const modeOf = async (path: string) => (await stat(join(folder, path))).mode & 0o777
    expect(await modeOf('u')).toBe(0o700)
    expect(await modeOf('u/me')).toBe(0o700)
    expect(await modeOf('u/me/a.png')).toBe(0o600)
  })

  it('makes its folder, also a nested one', async () => {
    folder = join(folder, 'a', 'b')
    const store = await open()
    await store.check()
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  })

  it('leaves no draft behind, also where a put fails', async () => {
    const store = await open()
    await store.put(objectOf(Buffer.from('x'), 'u/me/a.png'))
    // A folder in the place of a file.
    await expect(store.put(objectOf(Buffer.from('x'), 'u/me'))).rejects.toThrow(ObjectStoreError)
    await store.check()
    expect(await readdir(join(folder, '.drafts'))).toEqual([])
  })

  it('sweeps the drafts of a crash when it opens, not those of a living process', async () => {
    await open()
    const drafts = join(folder, '.drafts')
    await writeFile(join(drafts, 'crashed'), 'half')
    await utimes(join(drafts, 'crashed'), new Date(), new Date(Date.now() - 3_600_000))
    await writeFile(join(drafts, 'living'), 'half')
    await open()
    expect(await readdir(drafts)).toEqual(['living'])
  })

  it('keeps its objects for the next process', async () => {
    await (await open()).put(objectOf(Buffer.from('x'), 'u/me/a.png'))
    expect(await (await open()).read('u/me/a.png')).toBeDefined()
  })

  it('says in its own error that it cannot write', async () => {
    const store = await open()
    await rm(join(folder, '.drafts'), { recursive: true })
    await expect(store.check()).rejects.toThrow(ObjectStoreError)
    await expect(store.put(objectOf(Buffer.from('x')))).rejects.toThrow(/could not put .*ENOENT/)
  })

  it('asks for an address with the key', async () => {
    const asked: unknown[] = []
    const signUrl = (...question: unknown[]) => {
      asked.push(question)
      return { url: 'https://example.com', expiresAt: null }
    }
    const store = await createDiskObjectStore({ folder, signUrl })
    await store.url('u/me/a.png')
    expect(asked).toEqual([['u/me/a.png']])
  })
})
