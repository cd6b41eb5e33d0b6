import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTestApp, createTestDatabase, type TestApp } from '../../../test/harness.ts'
import { filesOf, hoursAgo, plantFiles, plantMarker } from '../../../test/stored-objects.ts'
import type { Db } from '../../db/client.ts'
import { newUuid } from '../../kernel/ids.ts'
import { sweepObjects } from './sweep.ts'

let app: TestApp
let orphan: string | undefined
beforeEach(async () => {
  app = await createTestApp()
  ;[orphan] = await plantFiles(app.dataDir, 1, 1000)
})
afterEach(() => app[Symbol.asyncDispose]())

const ours = () => app.database.handle.db
const sweep = (db: Db = ours()) =>
  sweepObjects(
    { ...app.service.deps, db },
    app.service.deps.objectStore,
    new AbortController().signal,
  )
const markers = async () =>
  (await readdir(join(app.dataDir, 'files', 'databases')).catch(() => [])).map(
    (name) => `databases/${name}`,
  )
const idOf = async (db: Db) =>
  (await db.selectFrom('database_identity').select('id').executeTakeFirstOrThrow()).id

test('a store that nobody has marked is marked, and swept a day later', async () => {
  expect(await sweep()).toBe(0)
  expect(await markers()).toEqual([`databases/${await idOf(ours())}`])
  await plantMarker(app.dataDir, ours(), { hours: 23.9 })
  expect(await sweep()).toBe(0)
  await plantMarker(app.dataDir, ours(), { hours: 24.1 })
  expect(await sweep()).toBe(1)
})

test('the day is told by the clock of the store', async () => {
  await plantMarker(app.dataDir, ours(), { hours: 30 })
  const { objectStore } = app.service.deps
  const slow = { ...objectStore, now: async () => hoursAgo(12) }
  expect(await sweepObjects(app.service.deps, slow, new AbortController().signal)).toBe(0)
  expect(await sweep()).toBe(1)
})

test('a store that another database has marked is not swept, and gets our marker beside it', async () => {
  const own = `databases/${await idOf(ours())}`
  const other = await plantMarker(app.dataDir, ours(), { id: newUuid() })
  await expect(sweep()).rejects.toThrow(`marked by another database too (${other}; ours is ${own})`)
  expect((await markers()).toSorted()).toEqual([own, other].toSorted())
  await plantMarker(app.dataDir, ours())
  await expect(sweep()).rejects.toThrow('marked by another database')
  expect([...(await filesOf(app.dataDir))]).toEqual([orphan])
  await rm(join(app.dataDir, 'files', other))
  expect(await sweep()).toBe(1)
})

test('of two databases that begin on one store at once neither ever sweeps it', async () => {
  await using theirs = await createTestDatabase()
  const { db } = theirs.handle
  await db.updateTable('database_identity').set({ id: newUuid() }).execute()
  await Promise.allSettled([sweep(), sweep(db)])
  expect(await markers()).toHaveLength(2)
  for (const one of [ours(), db]) await plantMarker(app.dataDir, one)
  const runs = await Promise.allSettled([sweep(), sweep(db)])
  expect(runs.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect([...(await filesOf(app.dataDir))]).toEqual([orphan])
})

test('a database has one id, made with it, and no second', async () => {
  const id = await idOf(ours())
  expect(id).toMatch(/^[0-9a-f-]{36}$/)
  const second = ours().insertInto('database_identity').values({ id: newUuid() }).execute()
  await expect(second).rejects.toThrow('duplicate key')
})
