import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createTestDatabase, ENGINE, type TestDatabase } from '../../../test/harness.ts'
import { transaction } from '../../db/client.ts'
import { CHANNEL, type Notification, notify } from '../../db/notify.ts'
import { newUuid } from '../../kernel/ids.ts'
import type { Message, Notifier } from '../../ports/notifier.ts'
import { openNotifier } from './database.ts'

let database: TestDatabase
let notifier: Notifier
let heard: Message[]
let stop: () => void
beforeAll(async () => {
  database = await createTestDatabase()
  notifier = await openNotifier(database.handle)
})
afterAll(async () => {
  await notifier.close()
  await database[Symbol.asyncDispose]()
})
beforeEach(() => {
  stop?.()
  heard = []
  stop = notifier.subscribe('generations', (message) => void heard.push(message))
})

const tell = (...notifications: Notification[]) =>
  transaction(database.handle.db, async (tx) => void (await notify(notifications).execute(tx)))
const event = (id: string, name = 'running'): Notification => ({
  topic: 'generation',
  id,
  event: name,
})

test('brings what was committed, in its order, and nothing that was rolled back', async () => {
  const [a, b, lost] = [newUuid(), newUuid(), newUuid()]
  const rolledBack = transaction(database.handle.db, async (tx) => {
    await notify([event(lost)]).execute(tx)
    throw new Error('no')
  })
  await expect(rolledBack).rejects.toThrow('no')
  await tell(event(a), event(b, 'succeeded'))
  await expect.poll(() => heard).toEqual([event(a), event(b, 'succeeded')])
})

test('parts the topics, and those who follow one generation from the others', async () => {
  const [mine, other] = [newUuid(), newUuid()]
  const followed: Message[] = []
  const queued: Message[] = []
  const ends = [
    notifier.follow(mine, (message) => void followed.push(message)),
    notifier.subscribe('queue', (message) => void queued.push(message)),
  ]
  await tell({ topic: 'queue' }, event(other), event(mine))
  await expect.poll(() => followed).toEqual([event(mine)])
  expect(queued).toEqual([{ topic: 'queue' }])
  expect(heard).toEqual([event(other), event(mine)])
  ends.forEach((end) => end())
  await tell({ topic: 'queue' }, event(mine, 'failed'))
  await expect.poll(() => heard).toHaveLength(3)
  expect([followed.length, queued.length]).toEqual([1, 1])
})

test('passes over what a later version may send', async () => {
  const id = newUuid()
  await sql`select pg_notify(${CHANNEL}, 'weather sunny'), pg_notify(${CHANNEL}, 'generation')`.execute(
    database.handle.db,
  )
  await tell(event(id))
  await expect.poll(() => heard).toEqual([event(id)])
})

// An embedded database has no connection that could break.
describe.skipIf(ENGINE === 'pglite')('whose connection breaks', () => {
  const cut = () =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query ilike 'listen%'`.execute(database.handle.db)

  test('tells of a gap once it listens again, and goes on', async () => {
    await cut()
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual([{ topic: 'gap' }])
    const id = newUuid()
    await tell(event(id))
    await expect.poll(() => heard).toEqual([{ topic: 'gap' }, event(id)])
  })
})
