import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { type App, createApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { type Db, transaction } from '../src/db/client.ts'
import { renew } from '../src/features/generations/generations.service.ts'
import { newRun } from '../src/features/generations/running.ts'
import { newUuid } from '../src/kernel/ids.ts'
import { createTestDatabase, ENGINE, JWT_SECRET } from './harness.ts'

/** As many as the pool of requests has, and that of ends. */
const CONNECTIONS = 10
const URGENT_CONNECTIONS = 2

/** An app with the pools of a real one. */
async function withApp(work: (app: App) => Promise<void>): Promise<void> {
  await using database = await createTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-urgent-'))
  const app = await createApp(
    loadConfig({
      DATABASE_URL: database.url,
      DATA_DIR: dataDir,
      JWT_SECRET,
      STORAGE: 'inline',
      LOG_LEVEL: 'silent',
    }),
  )
  try {
    await work(app)
  } finally {
    await app.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Takes connections, each in a transaction of its own, until it is told to give them back. */
async function takeAll(db: Db, connections: number, first: (tx: Db) => Promise<unknown>) {
  const gate = Promise.withResolvers<void>()
  const taken = Array.from({ length: connections }, () => Promise.withResolvers<void>())
  const crowd = taken.map((one) =>
    transaction(db, async (tx) => {
      await first(tx)
      one.resolve()
      await gate.promise
    }),
  )
  await Promise.all(taken.map(({ promise }) => promise))
  return {
    async [Symbol.asyncDispose]() {
      gate.resolve()
      await Promise.all(crowd)
    },
  }
}

const idle = async (tx: Db) => void (await sql`select 1`.execute(tx))

/** A generation that this process runs and whose lease ends in a moment. */
async function plantRunning({ deps: { db, leases } }: App): Promise<string> {
  const [userId, id, run] = [newUuid(), newUuid(), newRun()]
  await sql`insert into users (id, deleted_at) values (${userId}, now())`.execute(db)
  await sql`
    insert into generations (id, user_id, mode, status, model, prompt, size, n, lease_owner,
      lease_expires_at)
    values (${id}, ${userId}, 'test', 'running', 'a-model', 'a banana', '1K', 1, ${run.owner},
      now() + interval '1 second')`.execute(db)
  leases.held.set(id, run)
  return id
}

/** Those of which the lease was put off. */
async function renewedOf({ deps: { leaseDb } }: App): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from generations where lease_expires_at > now() + interval '5 s'`.execute(leaseDb)
  return rows.map(({ id }) => id)
}

// PGlite has one session for all.
describe.skipIf(ENGINE === 'pglite')('while requests have taken every connection', () => {
  test('leases are renewed and ends are written', () =>
    withApp(async (app) => {
      const { db, urgentDb } = app.deps
      const id = await plantRunning(app)
      await using _ = await takeAll(db, CONNECTIONS, idle)
      await expect(idle(db)).rejects.toThrow('timeout exceeded')
      await renew(app.deps)
      expect(await renewedOf(app)).toEqual([id])
      await transaction(urgentDb, idle)
    }))

  test('leases are renewed also while ends wait on every connection of theirs', () =>
    withApp(async (app) => {
      const [ending, other] = [await plantRunning(app), await plantRunning(app)]
      const lock = (tx: Db) =>
        sql`select from generations where id = ${ending} for key share`.execute(tx)
      await using _ = await takeAll(app.deps.urgentDb, URGENT_CONNECTIONS, lock)
      await renew(app.deps)
      expect(await renewedOf(app)).toContain(other)
    }))

  test('an end that waits under its lock keeps no other lease from being renewed', () =>
    withApp(async (app) => {
      const [ending, other] = [await plantRunning(app), await plantRunning(app)]
      const end = (tx: Db) =>
        sql`update generations set text = 'x' where id = ${ending}`.execute(tx)
      await using _ = await takeAll(app.deps.urgentDb, 1, end)
      await renew(app.deps)
      expect(await renewedOf(app)).toEqual([other])
    }))
})
