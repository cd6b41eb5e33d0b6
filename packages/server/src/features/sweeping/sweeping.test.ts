import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import { objectOf } from '../../ports/object-store.contract.ts'
import type { TestApp } from '../../../test/harness.ts'
import {
  filesOf,
  hoursAgo,
  plantFiles,
  plantMarker,
  plantRows,
} from '../../../test/stored-objects.ts'
import { createWorld, generate } from '../../../test/world.ts'
import { startSweeper } from './sweeper.ts'
import { sweep, sweepDue } from './sweeping.service.ts'

const NEVER = new AbortController().signal

let app: TestApp
const sweepAll = () => sweep(app.service.deps, NEVER)
const sweepRest = () => sweepDue(app.service.deps, NEVER)
const database = () => app.database.handle.db

async function clear(): Promise<void> {
  await rm(join(app.dataDir, 'files', 'u'), { recursive: true, force: true })
  for (const table of ['images', 'inline_objects', 'sweeps'] as const)
    await database().deleteFrom(table).execute()
}

describe('a sweep of the store on disk', () => {
  beforeAll(async () => {
    app = await createWorld()
    await plantMarker(app.dataDir, database())
  })
  afterAll(() => app[Symbol.asyncDispose]())
  afterEach(clear)

  test('leaves no orphan of 10,000 objects and deletes no other, while more are made', async () => {
    const live = await plantFiles(app.dataDir, 5000, 48)
    await plantRows(database(), live)
    const orphans = await plantFiles(app.dataDir, 5000, 25)
    const { token } = await app.register()
    const fresh = Array.from({ length: 100 }, () => objectOf(Buffer.from('x')))
    const [swept] = await Promise.all([
      sweepAll(),
      ...fresh.map((object) => app.service.deps.objectStore.put(object)),
      ...Array.from({ length: 8 }, () => generate(app, token)),
    ])
    expect(swept.find(({ task }) => task === 'disk objects')).toEqual({
      task: 'disk objects',
      removed: 5000,
    })
    const left = await filesOf(app.dataDir)
    const made = await database().selectFrom('images').select('object_key').execute()
    expect(made).toHaveLength(5008)
    const kept = [...made.map((row) => row.object_key), ...fresh.map(({ key }) => key)]
    expect(kept.filter((key) => !left.has(key))).toEqual([])
    expect(orphans.filter((key) => left.has(key))).toEqual([])
  })

  test('leaves an orphan alone until it is 24 hours old', async () => {
    const [young] = await plantFiles(app.dataDir, 1, 23.9)
    const [old] = await plantFiles(app.dataDir, 1, 24.1)
    await sweepAll()
    expect([...(await filesOf(app.dataDir))]).toEqual([young])
    expect(old).toBeDefined()
  })

  test('deletes nothing that has a row, whatever became of its generation or its store', async () => {
    const statuses = ['queued', 'running', 'succeeded', 'failed', 'canceled']
    const keys: string[] = []
    for (const status of statuses) {
      const planted = await plantFiles(app.dataDir, 1, 1000)
      await plantRows(database(), planted, { status, storage: 's3' })
      keys.push(...planted)
    }
    await sweepAll()
    expect([...(await filesOf(app.dataDir))].toSorted()).toEqual(keys.toSorted())
  })

  test('does no harm when two run at once', async () => {
    const live = await plantFiles(app.dataDir, 300, 48)
    await plantRows(database(), live)
    await plantFiles(app.dataDir, 600, 48)
    const runs = await Promise.all([sweepAll(), sweepAll()])
    expect(runs.flat().filter(({ error }) => error !== undefined)).toEqual([])
    expect(await filesOf(app.dataDir)).toEqual(new Set(live))
  })

  test('stops after the batch in hand when it is told to, and goes on the next time', async () => {
    await plantFiles(app.dataDir, 1200, 48)
    const stopping = new AbortController()
    const { objectStore } = app.service.deps
    const stopped = {
      ...objectStore,
      delete: (key: string) => {
        stopping.abort()
        return objectStore.delete(key)
      },
    }
    await sweepDue({ ...app.service.deps, objectStore: stopped }, stopping.signal)
    expect((await filesOf(app.dataDir)).size).toBe(700)
    await sweepRest()
    expect((await filesOf(app.dataDir)).size).toBe(0)
  })
})

describe('a sweep of inline images', () => {
  beforeAll(async () => {
    app = await createWorld({ env: { STORAGE: 'inline' } })
  })
  afterAll(() => app[Symbol.asyncDispose]())
  afterEach(clear)

  const inlineKeys = async () =>
    (await database().selectFrom('inline_objects').select('key').execute()).map(({ key }) => key)

  test('removes bytes whose retention is over, and the image says that it expired', async () => {
    const { token } = await app.register()
    const [expired, kept] = [await generate(app, token), await generate(app, token)]
    await database()
      .updateTable('images')
      .set({ expires_at: hoursAgo(1) })
      .where('generation_id', '=', parseId('gen', expired.id) ?? '')
      .execute()
    const stored = async () =>
      (await database().selectFrom('stored_bytes').select('bytes').execute()).map(
        ({ bytes }) => bytes,
      )
    expect(await stored()).toEqual([expired.images[0].bytes + kept.images[0].bytes])
    await sweepAll()
    expect(await stored()).toEqual([kept.images[0].bytes])
    expect(await inlineKeys()).toHaveLength(1)
    const read = async (id: string) =>
      (await app.request('GET', `/v1/generations/${id}`, { token })).json.images[0]
    expect(await read(expired.id)).toMatchObject({ expired: true, url: null, storage: 'inline' })
    expect((await read(kept.id)).url).toMatch(/^data:image/)
  })

  test('removes old bytes without an image', async () => {
    const { objectStore } = app.service.deps
    const [old, young] = [objectOf(Buffer.from('old')), objectOf(Buffer.from('young'))]
    await objectStore.put(old)
    await database()
      .updateTable('inline_objects')
      .set({ modified_at: hoursAgo(25) })
      .execute()
    await objectStore.put(young)
    await sweepAll()
    expect(await inlineKeys()).toEqual([young.key])
  })

  test('also sweeps a disk that was used before, and makes no folder where none was', async () => {
    await sweepAll()
    expect(existsSync(join(app.dataDir, 'files'))).toBe(false)
    await plantMarker(app.dataDir, database())
    await plantFiles(app.dataDir, 3, 25)
    await sweepAll()
    expect(await filesOf(app.dataDir)).toEqual(new Set())
  })
})

describe('the sweeper', () => {
  beforeAll(async () => {
    app = await createWorld({ env: { STORAGE: 'inline' } })
    await plantMarker(app.dataDir, database())
  })
  afterAll(() => app[Symbol.asyncDispose]())
  afterEach(clear)

  test('begins each task once in its time, over all processes', async () => {
    await Promise.all([sweepRest(), sweepRest()])
    await plantFiles(app.dataDir, 1, 25)
    await sweepRest()
    expect((await filesOf(app.dataDir)).size).toBe(1)
    await sql`update sweeps set began_at = now() - interval '25 hours'`.execute(database())
    await sweepRest()
    expect((await filesOf(app.dataDir)).size).toBe(0)
  })

  test('is not kept waiting by a clock that was set back', async () => {
    await sweepRest()
    await plantFiles(app.dataDir, 1, 25)
    await sql`update sweeps set began_at = now() + interval '1 hour'`.execute(database())
    await sweepRest()
    expect((await filesOf(app.dataDir)).size).toBe(0)
  })

  test('tells of a task that failed, goes on with the others and tries it again', async () => {
    await plantFiles(app.dataDir, 1, 25)
    const { objectStore } = app.service.deps
    const broken = { ...objectStore, list: () => failing() }
    await sweepDue({ ...app.service.deps, objectStore: broken }, NEVER)
    expect(app.logs).toContainEqual(
      expect.objectContaining({ level: 50, task: 'inline objects', err: expect.anything() }),
    )
    expect((await filesOf(app.dataDir)).size).toBe(0)
    const begun = await database().selectFrom('sweeps').select('task').execute()
    expect(begun.map(({ task }) => task)).not.toContain('inline objects')
    expect(begun).toHaveLength(9)
  })

  // oxlint-disable-next-line require-yield
  async function* failing(): AsyncGenerator<never> {
    throw new Error('the bucket is gone')
  }

  test('sweeps while the service runs, and has ended once it was stopped', async () => {
    await plantFiles(app.dataDir, 1, 25)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const stop = startSweeper(app.service.deps)
      await vi.advanceTimersByTimeAsync(70_000)
      await vi.waitFor(async () => expect((await filesOf(app.dataDir)).size).toBe(0))
      await stop()
      await clear()
      await plantFiles(app.dataDir, 1, 25)
      await vi.advanceTimersByTimeAsync(3_600_000)
      expect((await filesOf(app.dataDir)).size).toBe(1)
    } finally {
      vi.useRealTimers()
    }
  })
})
