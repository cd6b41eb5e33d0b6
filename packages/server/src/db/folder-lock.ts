import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { BootError } from '../config.ts'

/**
 * One process per data folder. The lock is the operating system's, taken by SQLite on an empty
 * file: it ends with its process, however that ends (docs/decisions/0004-folder-lock.md).
 *
 * NOTE: nothing else in this process may open the lock file; POSIX drops a process's locks on a
 * file when any of its descriptors on it is closed.
 */
const LOCK_FILE = 'process.lock'
const OWNER_FILE = 'process.json'

/** Longer than two starts stand in each other's way, or than a `readOwner` looks. */
const PATIENCE_MS = 400
const RETRY_MS = 25

/** SQLite's own limit is 512. */
const MAX_PATH_BYTES = 500

export interface FolderLock extends AsyncDisposable {
  /** Tells other processes where this one answers. */
  setAddress(url: string): Promise<void>
  /** Frees the folder; a second call does nothing. */
  release(): Promise<void>
}

const Owner = z.object({
  pid: z.int(),
  host: z.string(),
  started_at: z.string(),
  url: z.string().optional(),
})
type Owner = z.infer<typeof Owner>

// A lock that its caller forgets must not be closed by the garbage collector.
const held = new Set<DatabaseSync>()

/** Takes the folder, which it makes if need be; throws a `BootError` while another process has it. */
export async function lockFolder(path: string): Promise<FolderLock> {
  const folder = resolve(path)
  const database = await take(folder)
  held.add(database)
  const owner: Owner = { pid: process.pid, host: hostname(), started_at: new Date().toISOString() }
  const ownerFile = join(folder, OWNER_FILE)
  rmSync(ownerFile, { force: true })
  replaceFile(ownerFile, owner)

  const release = async () => {
    if (!held.delete(database)) return
    rmSync(ownerFile, { force: true })
    database.close()
  }
  return {
    async setAddress(url) {
      if (held.has(database)) replaceFile(ownerFile, { ...owner, url })
    },
    release,
    [Symbol.asyncDispose]: release,
  }
}

/** The living process that has the folder, or undefined. */
export async function readOwner(
  path: string,
): Promise<{ pid: number; url: string | undefined } | undefined> {
  const folder = resolve(path)
  if (!isLocked(folder)) return undefined
  const owner = readOwnerFile(folder)
  return owner === undefined ? undefined : { pid: owner.pid, url: owner.url }
}

async function take(folder: string): Promise<DatabaseSync> {
  const database = openLockFile(folder)
  const deadline = performance.now() + PATIENCE_MS
  try {
    while (!tryExclusive(database)) {
      if (performance.now() > deadline) throw inUse(folder)
      // Two that try in step would refuse each other for ever.
      await sleep(RETRY_MS * (0.5 + Math.random()))
    }
    return database
  } catch (error) {
    database.close()
    throw error instanceof BootError ? error : unusable(folder, error)
  }
}

function openLockFile(folder: string): DatabaseSync {
  const file = join(folder, LOCK_FILE)
  if (Buffer.byteLength(file) > MAX_PATH_BYTES)
    throw new BootError(`DATA_DIR is longer than ${MAX_PATH_BYTES - LOCK_FILE.length - 1} bytes.`)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return new DatabaseSync(file, { timeout: 0 })
  } catch (error) {
    throw unusable(folder, error)
  }
}

// With a journal on disk a killed process would leave one, which readers cannot roll back.
const tryExclusive = (database: DatabaseSync) =>
  !isBusy(() => database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE'))

/** Looks without taking: a shared lock for a moment, which `take` outwaits. */
function isLocked(folder: string): boolean {
  const file = join(folder, LOCK_FILE)
  if (!existsSync(file)) return false
  try {
    using database = new DatabaseSync(file, { timeout: 0, readOnly: true })
    return isBusy(() => database.exec('SELECT 1 FROM sqlite_schema'))
  } catch {
    // Unreadable, or no lock of ours: who tries to take it hears why.
    return false
  }
}

const SQLITE_BUSY = 5

function isBusy(work: () => void): boolean {
  try {
    work()
    return false
  } catch (error) {
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return true
    throw error
  }
}

function inUse(folder: string): BootError {
  const owner = readOwnerFile(folder)
  const which = owner === undefined ? '' : ` (pid ${owner.pid} on ${owner.host})`
  return new BootError(
    `Another nanobanana process${which} uses DATA_DIR ${folder}; stop it or choose another DATA_DIR.`,
  )
}

const unusable = (folder: string, error: unknown) =>
  new BootError(
    `DATA_DIR ${folder} cannot be locked: ${error instanceof Error ? error.message : String(error)}. ` +
      'It must be a folder that this process may write to, on a file system with locks.',
    { cause: error },
  )

function readOwnerFile(folder: string): Owner | undefined {
  try {
    return Owner.parse(JSON.parse(readFileSync(join(folder, OWNER_FILE), 'utf8')))
  } catch {
    // Between lock and file, or damaged: the lock alone decides, this only names its owner.
    return undefined
  }
}

function replaceFile(file: string, owner: Owner): void {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`
  writeFileSync(draft, `${JSON.stringify(owner)}\n`, { mode: 0o600, flag: 'wx' })
  renameSync(draft, file)
}
