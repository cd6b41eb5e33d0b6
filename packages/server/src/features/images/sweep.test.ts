import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ObjectStore, ObjectStoreError } from '../../ports/object-store.ts'
import { createTestApp, type TestApp } from '../../../test/harness.ts'
import { filesOf, plantFiles, plantMarker, plantRows } from '../../../test/stored-objects.ts'
import { sweepObjects } from './sweep.ts'

const DAY_MS = 86_400_000

let app: TestApp
let store: ObjectStore
beforeAll(async () => {
  app = await createTestApp()
  await plantMarker(app.dataDir, app.database.handle.db)
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(async () => {
  store = app.service.deps.objectStore
  for (const key of await filesOf(app.dataDir)) await store.delete(key)
  app.logs.length = 0
})

/** Sweeps the store on disk with some of its methods changed. */
const sweepWith = (changes: Partial<ObjectStore>) =>
  sweepObjects(app.service.deps, { ...store, ...changes }, new AbortController().signal)

describe('the age of an object', () => {
  test('is told by the clock of the store where that is slow', async () => {
    await plantFiles(app.dataDir, 1, 40)
    const now = async () => new Date(Date.now() - DAY_MS)
    expect(await sweepWith({ now })).toBe(0)
    expect((await filesOf(app.dataDir)).size).toBe(1)
  })

  test('is not told by the clock of the store where that runs ahead of the database', async () => {
    await plantFiles(app.dataDir, 1, 1)
    const now = async () => new Date(Date.now() + 30 * DAY_MS)
    expect(await sweepWith({ now })).toBe(0)
  })

  test('is unknown, so that nothing goes, where the store does not tell its time', async () => {
    await plantFiles(app.dataDir, 1, 40)
    const now = () => Promise.reject(new ObjectStoreError('no time'))
    await expect(sweepWith({ now })).rejects.toThrow('no time')
    expect((await filesOf(app.dataDir)).size).toBe(1)
  })
})

describe('a store that fails', () => {
  const failing = (isBad: (n: number) => boolean): ObjectStore['delete'] => {
    let calls = 0
    return async (key) => {
      if (isBad(calls++)) throw new ObjectStoreError('refused')
      await store.delete(key)
    }
  }
  const warnings = () => app.logs.filter(({ msg }) => msg === 'an object was not swept')

  test('for some objects keeps those, and says so', async () => {
    await plantFiles(app.dataDir, 30, 25)
    expect(await sweepWith({ delete: failing((n) => n % 2 === 0) })).toBe(15)
    expect(warnings()).toHaveLength(15)
    expect(warnings()[0]).toMatchObject({ level: 40, storage: 'disk' })
    expect(await sweepWith({})).toBe(15)
  })

  test('for each object is not asked again and again', async () => {
    await plantFiles(app.dataDir, 30, 25)
    let asked = 0
    await expect(sweepWith({ delete: failing(() => ++asked > 0) })).rejects.toThrow('refused')
    expect(asked).toBe(10)
    expect(await sweepWith({})).toBe(30)
  })

  test('in the middle of its list has lost nothing, and is swept the next time', async () => {
    const live = await plantFiles(app.dataDir, 300, 25)
    await plantRows(app.database.handle.db, live)
    await plantFiles(app.dataDir, 900, 25)
    async function* list(prefix?: string) {
      let left = 800
      for await (const object of store.list(prefix)) {
        if (left-- === 0) throw new ObjectStoreError('the connection was lost')
        yield object
      }
    }
    await expect(sweepWith({ list })).rejects.toThrow('the connection was lost')
    const half = await filesOf(app.dataDir)
    expect(live.filter((key) => !half.has(key))).toEqual([])
    expect(half.size).toBeLessThan(1200)
    expect(half.size).toBeGreaterThan(300)
    await sweepWith({})
    expect(await filesOf(app.dataDir)).toEqual(new Set(live))
  })
})
