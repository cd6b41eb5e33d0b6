import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import {
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import {
  isObjectKey,
  type ListedObject,
  OBJECT_PREFIX,
  ObjectStoreError,
  type ObjectStore,
  type ObjectUrl,
} from '../../ports/object-store.ts'
import { attempt, attemptEach, codeOf } from './attempt.ts'

export interface DiskOptions {
  readonly folder: string
  /** Makes an address that the server itself answers. */
  readonly signUrl: (key: string) => ObjectUrl
}

const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
/** Holds what is being written. A key cannot name it: no part of a key starts with a dot. */
const DRAFTS = '.drafts'
/** Younger ones may belong to another process on the same folder. */
const STALE_DRAFT_MS = 10 * 60_000

// NOTE Windows has neither flag. NONBLOCK keeps a planted pipe from hanging the reader.
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Keeps objects as files under one folder. */
export async function createDiskObjectStore(options: DiskOptions): Promise<ObjectStore> {
  await mkdir(options.folder, { recursive: true, mode: FOLDER_MODE })
  const root = await realpath(options.folder)
  const drafts = join(root, DRAFTS)
  await makeFolder(drafts)
  await sweep(drafts)

  /** The file of a key, if the way to it is made of real folders below the root. */
  async function locate(key: string): Promise<string | undefined> {
    if (!isObjectKey(key)) return undefined
    const path = join(root, key)
    const inside = path.startsWith(root + sep) && (await isRealFolder(dirname(path)))
    return inside ? path : undefined
  }

  return {
    kind: 'disk',

    async put({ key, bytes }) {
      if (!isObjectKey(key)) throw new ObjectStoreError(`refused key ${key}`)
      const path = join(root, key)
      await attempt(`put ${key}`, async () => {
        await makeFolders(root, dirname(path))
        await replaceFile(path, bytes, join(drafts, randomUUID()))
      })
    },

    read: (key, range) =>
      attempt(`read ${key}`, async () => {
        const path = await locate(key)
        const file = path === undefined ? undefined : await openFile(path)
        return file?.createReadStream(range)
      }),

    delete: (key) =>
      attempt(`delete ${key}`, async () => {
        const path = await locate(key)
        if (path !== undefined) await ignoreMissing(unlink(path))
      }),

    url: async (key) => (isObjectKey(key) ? options.signUrl(key) : null),

    list: (prefix = OBJECT_PREFIX) => attemptEach('list the folder', () => walk(root, prefix)),

    now: () => attempt('read the clock', () => writeProbe(drafts)),

    check: () => attempt('use the folder', async () => void (await writeProbe(drafts))),
  }
}

/** Files below a folder; neither links nor what is behind them. */
async function* walk(root: string, prefix: string): AsyncGenerator<ListedObject> {
  const folder = join(root, prefix, '.')
  const entries = (await isRealFolder(folder)) ? await ignoreMissing(opendir(folder)) : undefined
  for await (const { name } of entries ?? []) {
    const key = prefix + name
    if (!isObjectKey(key)) continue
    const found = await ignoreMissing(lstat(join(root, key)))
    if (found?.isDirectory()) yield* walk(root, `${key}/`)
    else if (found?.isFile()) yield { key, modifiedAt: found.mtime, bytes: found.size }
  }
}

/** Answers the time that the file system, which may be another machine's, gave the file. */
async function writeProbe(drafts: string): Promise<Date> {
  const probe = join(drafts, randomUUID())
  const file = await open(probe, 'wx', FILE_MODE)
  try {
    await file.writeFile('probe')
    await file.sync()
    return (await file.stat()).mtime
  } finally {
    await file.close()
    await rm(probe)
  }
}

/** After a crash the path holds either the old bytes or the new ones, never a part. */
async function replaceFile(path: string, bytes: Uint8Array, draft: string): Promise<void> {
  try {
    const file = await open(draft, 'wx', FILE_MODE)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  const file = await ignoreMissing(open(path, READ_FLAGS))
  if (file === undefined || (await file.stat()).isFile()) return file
  await file.close()
  return undefined
}

async function isRealFolder(folder: string): Promise<boolean> {
  return (await ignoreMissing(realpath(folder))) === folder
}

/** One by one, because a recursive mkdir follows links. */
async function makeFolders(root: string, folder: string): Promise<void> {
  if (await isRealFolder(folder)) return
  let path = root
  for (const name of relative(root, folder).split(sep)) {
    path = join(path, name)
    await makeFolder(path)
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: FOLDER_MODE })
    await syncFolder(dirname(path))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    if (!(await lstat(path)).isDirectory()) throw new Error('not a folder', { cause: error })
  }
}

/** Makes the names in a folder durable. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sweep(drafts: string): Promise<void> {
  for (const name of await readdir(drafts)) {
    const path = join(drafts, name)
    const found = await ignoreMissing(stat(path))
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_DRAFT_MS) {
      await rm(path, { force: true })
    }
  }
}

/** ELOOP is what O_NOFOLLOW says of a link, ENXIO what a pipe or socket says. */
const MISSING: readonly string[] = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EISDIR']

async function ignoreMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (MISSING.includes(codeOf(error))) return undefined
    throw error
  }
}
