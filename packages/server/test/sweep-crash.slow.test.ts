import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openAsBlob } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, inject, test } from 'vitest'
import { openPglite } from '../src/db/client.ts'
import { createTestDatabase, ENGINE, JWT_SECRET } from './harness.ts'
import { filesOf, plantFiles, plantMarker, plantRows } from './stored-objects.ts'

const MAIN = join(import.meta.dirname, '../src/main.ts')
const ORPHANS = 2000

type Env = Readonly<Record<string, string>>

const startSweep = (env: Env): ChildProcess =>
  spawn(process.execPath, ['--conditions=source', MAIN, 'sweep'], {
    env: { PATH: process.env['PATH'], STORAGE: 'disk', JWT_SECRET, LOG_LEVEL: 'error', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })

/** Makes the database that the processes will open. */
async function plantEmbedded(dataDir: string, live: readonly string[]): Promise<void> {
  const template = await openAsBlob(inject('pgliteTemplate'))
  const options = { folder: join(dataDir, 'db'), template }
  const database = await openPglite(options, { onConnectionError: () => {} })
  await plantRows(database.db, live)
  await plantMarker(dataDir, database.db)
  await database.close()
}

test('a sweep that is killed in the middle is finished by the next one', async () => {
  await using opened = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-sweep-'))
  opened.defer(() => rm(dataDir, { recursive: true }))
  const live = await plantFiles(dataDir, 500, 48)
  const database = ENGINE === 'postgres' ? opened.use(await createTestDatabase()) : undefined
  if (database === undefined) await plantEmbedded(dataDir, live)
  else {
    await plantRows(database.handle.db, live)
    await plantMarker(dataDir, database.handle.db)
  }
  const env = { DATA_DIR: dataDir, ...(database && { DATABASE_URL: database.url ?? '' }) }
  await plantFiles(dataDir, ORPHANS, 48)

  const child = startSweep(env)
  const ended = once(child, 'exit')
  const all = live.length + ORPHANS
  while (child.exitCode === null && (await filesOf(dataDir)).size === all) await sleep(2)
  child.kill('SIGKILL')
  await ended
  const left = await filesOf(dataDir)
  expect(live.filter((key) => !left.has(key))).toEqual([])
  expect(left.size).toBeGreaterThan(live.length)
  expect(left.size).toBeLessThan(all)

  const last = startSweep(env)
  const [code] = await once(last, 'exit')
  expect(code).toBe(0)
  expect(await filesOf(dataDir)).toEqual(new Set(live))
}, 60_000)
