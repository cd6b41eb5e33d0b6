import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Db, Tx } from '../../db/client.ts'
import { newUuid } from '../../kernel/ids.ts'
import { explain } from '../../../test/explain.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/harness.ts'
import { claimDeliveries, listDueWebhooks, lockWebhooks, noteFailure } from './claims.repo.ts'
import { deleteOldDeliveries, insertDeliveries, listDeliveries } from './deliveries.repo.ts'

const WAITING = 100_000
const OTHERS = 20

let database: TestDatabase
let db: Db
const userId = newUuid()
const dead = newUuid()
const others = Array.from({ length: OTHERS }, () => newUuid())
const ended = { userId, generationId: newUuid(), attempt: 1, event: 'generation.failed' } as const

/** One endpoint for which very much waits, among others for which little does. */
beforeAll(async () => {
  database = await createTestDatabase()
  db = database.handle.db
  await sql`insert into users (id, email, password_hash) values (${userId}, 'a', '')`.execute(db)
  await sql`insert into webhooks (id, user_id, url, events)
    select id, ${userId}::uuid, '', '{generation.failed}'
    from unnest(${[dead, ...others]}::uuid[]) id`.execute(db)
  await insertWaiting([dead], WAITING)
  await insertWaiting(others, 3)
}, 120_000)
afterAll(() => database[Symbol.asyncDispose]())

const insertWaiting = (ids: readonly string[], count: number) =>
  sql`insert into webhook_deliveries (id, webhook_id, generation_id, generation_attempt, type, next_attempt_at)
    select gen_random_uuid(), id, gen_random_uuid(), 1, 'generation.failed', now() - interval '1 s' * n
    from unnest(${ids}::uuid[]) id, generate_series(1, ${count}::int) n`.execute(db)

/** Rows and blocks of a statement that looks at each endpoint, and not at each that waits. */
const FEW = 600

const CASES: Record<string, (tx: Tx) => Promise<unknown>> = {
  'a look for endpoints of which something is due': (tx) => listDueWebhooks(tx, false),
  'a look among those that fail': (tx) => listDueWebhooks(tx, true),
  'a lock of them': (tx) => lockWebhooks(tx, [dead, ...others]),
  'a claim of what has places': (tx) => claimDeliveries(tx, [dead, ...others], 10),
  'a failure of the dead one': (tx) => noteFailure(tx, dead),
  'an event': (tx) => insertDeliveries(tx, ended),
  'a page of its deliveries': (tx) => listDeliveries(tx, dead, { limit: 21, before: undefined }),
  'a look for what is old': (tx) => deleteOldDeliveries(tx, 1000),
}

describe.each(['without statistics', 'with statistics'])('%s', (statistics) => {
  beforeAll(async () => {
    if (statistics === 'with statistics') await sql`analyze`.execute(db)
  })

  test.each(Object.entries(CASES))('%s reads little of what waits', async (_, work) => {
    for (const reading of await explain(db, work)) {
      expect(reading.rows, reading.statement).toBeLessThanOrEqual(FEW)
      expect(reading.blocks, reading.statement).toBeLessThanOrEqual(2 * FEW)
      expect(reading.wholeTables, reading.statement).not.toContain('webhook_deliveries')
    }
  })
})

test('the dead one has no more than its places in a claim, and the others have theirs', async () => {
  const due = await listDueWebhooks(db, false)
  expect(due).toHaveLength(OTHERS + 1)
  const claimed = await database.handle.db
    .transaction()
    .execute((tx) => claimDeliveries(tx as Tx, due, 1000))
  const of = (id: string) => claimed.filter((one) => one.webhook_id === id).length
  expect(of(dead)).toBe(4)
  expect(others.map(of)).toEqual(Array<number>(OTHERS).fill(3))
})
