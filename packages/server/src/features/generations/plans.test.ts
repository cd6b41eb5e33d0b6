import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Db, Tx } from '../../db/client.ts'
import type { HeldRun } from '../../kernel/deps.ts'
import { newUuid } from '../../kernel/ids.ts'
import { explain } from '../../../test/explain.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/harness.ts'
import {
  generationId as idOfNumber,
  insertHistory,
  OLDER_MODEL,
  OLDEST,
} from '../../../test/history.ts'
import { claimDoomed, doomObjectsOfGeneration } from '../images/doomed.repo.ts'
import { findImage, listImages } from '../images/images.repo.ts'
import { findLiveKey, lockKey, touchKey } from '../keys/keys.repo.ts'
import { selectSpending, sumByGroup, type UsageGroup } from '../usage/usage.repo.ts'
import { countQueued } from './beginning.repo.ts'
import { deleteGeneration, findGeneration } from './generations.repo.ts'
import { countRunning, failAbandoned, listAbandoned, renewLeases } from './runs.repo.ts'
import { expireRecords, findRecord } from './idempotency.repo.ts'
import { type Filters, listGenerations } from './list.repo.ts'

const GENERATIONS = 40_000
const KEYS = 4000
/** One more than a page shows, as the service asks. */
const LIMIT = 21

let database: TestDatabase
let db: Db
const [userId, stranger] = [newUuid(), newUuid()]
const keyIds = Array.from({ length: 8 }, () => newUuid())
const keyId = keyIds[0]!
const visible = { userId, mode: 'live' as const }
const claim = { userId, scope: 'session', key: 'k777', fingerprint: new Uint8Array(32) }
const owner = newUuid()
const leases = { seconds: 30, held: new Map<string, HeldRun>() }
const heldRun = { owner, canceled: new AbortController() }
const digest = (text: string) => createHash('sha256').update(text).digest()
const generationId = (n: number) => idOfNumber({ userId }, n)
const abandoned = { id: generationId(GENERATIONS), attempt: 1, owner, detached: false, runs: 1 }

beforeAll(async () => {
  database = await createTestDatabase()
  db = database.handle.db
  for (const id of [userId, stranger])
    await sql`insert into users (id, email, password_hash) values (${id}, ${id}, '')`.execute(db)
  await insertKeys(userId, keyIds)
  await insertKeys(
    stranger,
    Array.from({ length: KEYS }, () => newUuid()),
  )
  await insertHistory(db, { userId, keyIds, generations: GENERATIONS })
  await insertHistory(db, { userId: stranger, keyIds, generations: GENERATIONS / 4 })
  await insertRunning()
  await insertRecords()
  await sql`
    insert into doomed_objects (storage, object_key)
    select 's3', 'u/x/' || n || '.png' from generate_series(1, ${GENERATIONS}::int) n`.execute(db)
}, 120_000)
afterAll(() => database[Symbol.asyncDispose]())

async function insertKeys(owner: string, ids: readonly string[]): Promise<void> {
  await sql`insert into api_keys (id, user_id, name, prefix, mode, scopes)
    select id, ${owner}::uuid, '', '', 'live', '{read}' from unnest(${ids}::uuid[]) id`.execute(db)
  await sql`insert into api_key_secrets (digest, key_id, pepper_id)
    select sha256(id::text::bytea), id, '' from unnest(${ids}::uuid[]) id`.execute(db)
  await sql`insert into spending select id, to_char(now(), 'YYYY-MM'), 1
    from unnest(${[owner, ...ids]}::uuid[]) id`.execute(db)
}

/** Eight that run, half of them past their lease. */
async function insertRunning(): Promise<void> {
  for (let n = 0; n < 8; n++) leases.held.set(generationId(GENERATIONS - n), heldRun)
  await sql`update generations set status = 'running', lease_owner = ${owner}, key_id = ${keyId},
      lease_expires_at = now() + interval '1 hour' * (case when place % 2 = 0 then 1 else -1 end)
    from unnest(${[...leases.held.keys()]}::uuid[]) with ordinality held (held, place)
    where id = held`.execute(db)
}

async function insertRecords(): Promise<void> {
  await sql`insert into idempotency_keys (user_id, scope, key, fingerprint, generation_id, expires_at)
    select user_id, 'session', 'k' || row_number() over (), '', id, created_at + interval '364 days'
    from generations where user_id = ${userId}`.execute(db)
}

const list =
  (filters: Partial<Filters> = {}) =>
  (tx: Tx) =>
    listGenerations(
      tx,
      visible,
      {
        before: undefined,
        status: undefined,
        model: undefined,
        keyId: undefined,
        words: [],
        createdAfter: undefined,
        createdBefore: undefined,
        ...filters,
      },
      LIMIT,
    )

const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000)
const middle = { created_at: daysAgo(180), id: generationId(GENERATIONS / 2) }
const day = (date: Date) => date.toISOString().slice(0, 10)

const PAGES: Record<string, Partial<Filters>> = {
  'the first page': {},
  'the page after a cursor': { before: middle },
  'a page of a rare, old status': { status: OLDEST.status },
  'a page of what runs': { status: 'running' },
  'a page of a status after a cursor': { status: 'failed', before: middle },
  'a page of a rare, old model': { model: OLDEST.model },
  'a page of a model of long ago': { model: OLDER_MODEL },
  'a page of a model after a cursor': { model: OLDER_MODEL, before: middle },
  'a page of a model that nobody used': { model: 'none' },
  'a page of a key that made little': { keyId },
  'a page of a key of long ago': { keyId: keyIds[1]! },
  'a page of a key after a cursor': { keyId: keyIds[2]!, before: middle },
  'a page of a key that is not there': { keyId: newUuid() },
  'a page of the oldest': { createdBefore: daysAgo(364) },
  'a page of a day': { createdAfter: daysAgo(200), createdBefore: daysAgo(199) },
  'a page of a month after a cursor': {
    createdAfter: daysAgo(200),
    createdBefore: daysAgo(170),
    before: middle,
  },
  'a page of a rare status in a day': {
    status: OLDEST.status,
    createdAfter: daysAgo(365),
    createdBefore: daysAgo(364),
  },
}

interface Case {
  readonly work: (tx: Tx) => Promise<unknown>
  /** How many the statement is about. */
  readonly rows: number
  /** Blocks it may touch besides what it reads, to keep every index in step with a change. */
  readonly writes?: number
}

const MONTH_ROWS = 31 * (keyIds.length + 1) * 3
const month = (groupBy: UsageGroup): Case => ({
  work: (tx) =>
    sumByGroup(tx, { ...visible, from: day(daysAgo(230)), to: day(daysAgo(200)), groupBy }),
  rows: MONTH_ROWS,
})

const CASES: Record<string, Case> = {
  ...Object.fromEntries(
    Object.entries(PAGES).map(([name, filters]) => [name, { work: list(filters), rows: LIMIT }]),
  ),
  'images of a page': {
    work: (tx) =>
      listImages(
        tx,
        userId,
        Array.from({ length: 20 }, (_, n) => generationId(n + 900)),
      ),
    rows: 20,
  },
  'a generation': { work: (tx) => findGeneration(tx, visible, generationId(777)), rows: 1 },
  'an image': { work: (tx) => findImage(tx, visible, generationId(777)), rows: 1 },
  'objects to delete': {
    work: (tx) => doomObjectsOfGeneration(tx, userId, generationId(777)),
    rows: 1,
    writes: 40,
  },
  'a batch of objects to delete': {
    work: (tx) => claimDoomed(tx, 's3', { at: 'now', limit: 1 }),
    rows: 1,
    writes: 40,
  },
  'a deletion': { work: (tx) => deleteGeneration(tx, userId, generationId(777)), rows: 1 },
  'a month of usage by day': month('day'),
  'a month of usage by key': month('key'),
  'a month of usage by model': month('model'),
  'what was spent': { work: (tx) => selectSpending(tx, [userId, ...keyIds]), rows: 9 },
  'an idempotency key': { work: (tx) => findRecord(tx, claim), rows: 1 },
  'the retention of a record': {
    work: (tx) => expireRecords(tx, generationId(77)),
    rows: 1,
    writes: 40,
  },
  'an API key by its digests': {
    work: (tx) => findLiveKey(tx, [digest(keyId), digest('under another pepper')]),
    rows: 2,
  },
  'the lock of a key': { work: (tx) => lockKey(tx, keyId), rows: 1 },
  'the last use of a key': { work: (tx) => touchKey(tx, keyId), rows: 1, writes: 40 },
  'what a key has running': { work: (tx) => countRunning(tx, keyId, newUuid()), rows: 8 },
  'how many wait': { work: (tx) => countQueued(tx, userId), rows: 1 },
  'what is abandoned': { work: (tx) => listAbandoned(tx, { all: false, beside: [] }), rows: 8 },
  'all that runs': { work: (tx) => listAbandoned(tx, { all: true, beside: [] }), rows: 8 },
  'the end of an abandoned one': {
    work: (tx) => failAbandoned(tx, abandoned, { type: '', code: '', message: '' }, { all: true }),
    rows: 1,
    writes: 60,
  },
  // Eight by their ids, eight that run at all, and again those eight that are free.
  'renewed leases': { work: (tx) => renewLeases(tx, leases), rows: 24, writes: 400 },
}

// An embedded database never gathers statistics by itself, a server does.
describe.each(['without statistics', 'with statistics'])('%s', (statistics) => {
  beforeAll(async () => {
    if (statistics === 'with statistics') await sql`analyze`.execute(db)
  })

  test.each(Object.entries(CASES))('%s', async (_, { work, rows, writes = 0 }) => {
    const [reading, ...more] = await explain(db, work)
    expect(more).toEqual([])
    expect(reading?.wholeTables).toEqual([])
    // A row may count three times: in two indexes and in the table.
    expect(reading?.rows).toBeLessThanOrEqual(3 * rows)
    expect(reading?.blocks).toBeLessThanOrEqual(3 * rows + 20 + writes)
  })
})
