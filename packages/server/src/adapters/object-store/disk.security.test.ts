import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listOf, objectOf } from '../../ports/object-store.contract.ts'
import { ObjectStoreError, type ObjectStore } from '../../ports/object-store.ts'
import { createDiskObjectStore } from './disk.ts'

const SECRET = 'root:x:0:0'

const ATTACKS = [
  '../secret.png',
  '../../../../etc/passwd',
  'u/../../secret.png',
  'u/me/../../../secret.png',
  'u/me/..',
  '..',
  '.',
  'u/./me/a.png',
  '....//secret.png',
  '..../secret.png',
  '..;/secret.png',
  '%2e%2e%2fsecret.png',
  '%2e%2e/secret.png',
  '..%2fsecret.png',
  '%252e%252e%252fsecret.png',
  '..%c0%afsecret.png',
  '%c0%ae%c0%ae/secret.png',
  '..%u2215secret.png',
  '..\u2215secret.png',
  '\uFF0E\uFF0E/secret.png',
  '\xC0\xAE\xC0\xAE/secret.png',
  '..\\secret.png',
  'u\\..\\..\\secret.png',
  '..%5csecret.png',
  'u/me/a.png\0',
  '../secret.png\0.png',
  'u/me/a.png%00',
  '/etc/passwd',
  '//etc/passwd',
  '\\\\host\\share',
  'C:\\secret.png',
  'C:/secret.png',
  'file:///etc/passwd',
  '~/secret.png',
  '.drafts/x',
  'u/.hidden',
  'u/me/a.png/',
  'u/me/a.png/.',
  'u/me/a.png\n',
  ' u/me/a.png',
  '-',
]

describe('the store on disk, attacked', () => {
  let folder: string
  let root: string
  let store: ObjectStore
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'disk-attack-'))
    root = join(folder, 'store')
    await writeFile(join(folder, 'secret.png'), SECRET)
    store = await createDiskObjectStore({
      folder: root,
      signUrl: (key) => ({ url: key, expiresAt: null }),
    })
    await store.put(objectOf(Buffer.from('mine'), 'u/me/a.png'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  const secretIsSafe = async () =>
    expect(await readFile(join(folder, 'secret.png'), 'utf8')).toBe(SECRET)

  it.each(ATTACKS)('finds nothing at %j', async (key) => {
    expect(await store.read(key)).toBeUndefined()
    await store.delete(key)
    await secretIsSafe()
    expect(await readFile(join(root, 'u/me/a.png'), 'utf8')).toBe('mine')
  })

  it.each(ATTACKS.filter((key) => key !== '-'))('writes nothing at %j', async (key) => {
    await expect(store.put(objectOf(Buffer.from('bad'), key))).rejects.toThrow(ObjectStoreError)
    expect((await readdir(folder)).toSorted()).toEqual(['secret.png', 'store'])
    expect((await readdir(root)).toSorted()).toEqual(['.drafts', 'u'])
    expect(await readdir(join(root, 'u'))).toEqual(['me'])
    expect(await readdir(join(root, 'u/me'))).toEqual(['a.png'])
  })

  it('does not read through a link to a file, and replaces the link itself', async () => {
    const link = join(root, 'u/me/link.png')
    await symlink(join(folder, 'secret.png'), link)
    expect(await store.read('u/me/link.png')).toBeUndefined()
    await store.put(objectOf(Buffer.from('new'), 'u/me/link.png'))
    await secretIsSafe()
    expect(await contentOf('u/me/link.png')).toBe('new')
    await store.delete('u/me/link.png')
  })

  it('deletes a link to a file, not the file', async () => {
    await symlink(join(folder, 'secret.png'), join(root, 'u/me/link.png'))
    await store.delete('u/me/link.png')
    expect(await readdir(join(root, 'u/me'))).toEqual(['a.png'])
    await secretIsSafe()
  })

  it.each([
    ['outside', () => folder],
    ["to another user's folder", () => join(root, 'u/me')],
  ])('does not go through a link to a folder %s', async (_where, target) => {
    const link = join(root, 'u/linked')
    await symlink(target(), link)
    for (const name of ['secret.png', 'a.png']) {
      expect(await store.read(`u/linked/${name}`)).toBeUndefined()
      await store.delete(`u/linked/${name}`)
      const object = objectOf(Buffer.from('bad'), `u/linked/${name}`)
      await expect(store.put(object)).rejects.toThrow(ObjectStoreError)
      const below = objectOf(Buffer.from('bad'), `u/linked/new/${name}`)
      await expect(store.put(below)).rejects.toThrow(ObjectStoreError)
    }
    await secretIsSafe()
    expect(await contentOf('u/me/a.png')).toBe('mine')
    expect((await readdir(folder)).toSorted()).toEqual(['secret.png', 'store'])
    await rm(link)
  })

  it.skipIf(process.platform === 'win32')('does not wait at a pipe', async () => {
    execFileSync('mkfifo', [join(root, 'u/me/pipe.png')])
    expect(await store.read('u/me/pipe.png')).toBeUndefined()
    await store.delete('u/me/pipe.png')
  })

  it('does not answer a folder', async () => {
    await mkdir(join(root, 'u/me/folder.png'))
    expect(await store.read('u/me/folder.png')).toBeUndefined()
    await rm(join(root, 'u/me/folder.png'), { recursive: true })
  })

  it('does not open where its folder for drafts is a link', async () => {
    const planted = join(folder, 'planted')
    await mkdir(planted)
    await symlink(folder, join(planted, '.drafts'))
    const signUrl = (key: string) => ({ url: key, expiresAt: null })
    await expect(createDiskObjectStore({ folder: planted, signUrl })).rejects.toThrow(
      'not a folder',
    )
    await rm(planted, { recursive: true })
  })

  it('lists neither links, nor what is behind them, nor pipes, folders and hidden files', async () => {
    await symlink(join(folder, 'secret.png'), join(root, 'u/me/link.png'))
    await symlink(folder, join(root, 'u/linked'))
    await mkdir(join(root, 'u/me/folder.png'))
    await writeFile(join(root, 'u/me/.hidden'), 'x')
    await writeFile(join(root, 'u/me/a b.png'), 'x')
    if (process.platform !== 'win32') execFileSync('mkfifo', [join(root, 'u/me/pipe.png')])
    const keys = (await listOf(store)).map(({ key }) => key)
    expect(keys).toEqual(['u/me/a.png'])
    for (const name of ['link.png', 'folder.png', '.hidden', 'a b.png', 'pipe.png'])
      await rm(join(root, 'u/me', name), { recursive: true, force: true })
    await rm(join(root, 'u/linked'))
  })

  it('lists nothing where the folder of all accounts is a link', async () => {
    const planted = join(folder, 'planted')
    await mkdir(planted)
    await symlink(join(root, 'u'), join(planted, 'u'))
    const signUrl = (key: string) => ({ url: key, expiresAt: null })
    const linked = await createDiskObjectStore({ folder: planted, signUrl })
    expect(await listOf(linked)).toEqual([])
    await rm(planted, { recursive: true })
  })

  async function contentOf(key: string): Promise<string | undefined> {
    const stream = await store.read(key)
    return stream && (await buffer(stream)).toString()
  }
})
