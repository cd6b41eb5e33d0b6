import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, ENGINE, type TestDatabase } from '../../../test/harness.ts'
import { transaction, type Tx } from '../../db/client.ts'
import { newUuid } from '../../kernel/ids.ts'
import type { Queue } from '../../ports/queue.ts'
import { migrateQueue, openQueue } from './pg-boss.ts'

let database: TestDatabase
let queue: Queue
beforeAll(async () => {
  database = await createTestDatabase()
  await migrateQueue(database.handle)
  queue = await openQueue(database.handle, () => {})
})
afterAll(async () => {
  await queue.close()
  await database[Symbol.asyncDispose]()
})

const within = <T>(work: (tx: Tx) => Promise<T>): Promise<T> =>
  transaction(database.handle.db, work)
const add = (id: string, priority = 0, delaySeconds = 0) =>
  within((tx) => queue.enqueue(tx, id, { priority, delaySeconds }))
const take = () => within((tx) => queue.take(tx))

test('hands each id out once, the highest priority first, equals in their order', async () => {
  const [a, b, c, d] = [newUuid(), newUuid(), newUuid(), newUuid()]
  await add(a)
  await add(b)
  await add(c, 1)
  await add(d, -2_000_000)
  expect([await take(), await take(), await take(), await take(), await take()]).toEqual([
    c,
    a,
    b,
    d,
    undefined,
  ])
})

test('has nothing of a transaction that was rolled back, neither added nor taken', async () => {
  const [kept, lost] = [newUuid(), newUuid()]
  const fail = new Error('rolled back')
  const adding = within(async (tx) => {
    await queue.enqueue(tx, lost, { priority: 0 })
    throw fail
  })
  await expect(adding).rejects.toThrow(fail)
  await add(kept)
  const taking = within(async (tx) => {
    expect(await queue.take(tx)).toBe(kept)
    throw fail
  })
  await expect(taking).rejects.toThrow(fail)
  expect(await take()).toBe(kept)
  expect(await take()).toBeUndefined()
})

test('takes an id twice as one, and again once it was taken', async () => {
  const id = newUuid()
  await add(id)
  await add(id, 5)
  expect(await take()).toBe(id)
  expect(await take()).toBeUndefined()
  await within(async (tx) => {
    await queue.enqueue(tx, id, { priority: 0 })
    expect(await queue.take(tx)).toBe(id)
    await queue.enqueue(tx, id, { priority: 0 })
  })
  expect(await take()).toBe(id)
})

test('keeps back what is not due', async () => {
  const [later, now] = [newUuid(), newUuid()]
  await add(later, 9, 1)
  await add(now)
  expect([await take(), await take()]).toEqual([now, undefined])
  await expect.poll(take, { timeout: 5000 }).toBe(later)
})

test('gives parallel takers different ids', async () => {
  const ids = Array.from({ length: 30 }, () => newUuid())
  for (const id of ids) await add(id)
  const taken = await Promise.all(ids.map(() => take()))
  expect(taken.toSorted()).toEqual(ids.toSorted())
})

// An embedded database has one.
test.skipIf(ENGINE === 'pglite')('is made by several processes at once', async () => {
  await using other = await createTestDatabase()
  await Promise.all(Array.from({ length: 5 }, () => migrateQueue(other.handle)))
  const opened = await openQueue(other.handle, () => {})
  await opened.close()
})
