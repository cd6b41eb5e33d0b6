import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { createService } from '../service.ts'
import { createTestDatabase, ENGINE, JWT_SECRET, type TestDatabase } from '../../test/harness.ts'
import { openPostgres } from './client.ts'
import { migrate } from './migrate.ts'

const LOG = { onConnectionError: () => {} }
/** The one that kysely takes. */
const MIGRATION_LOCK = '3853314791062309107'
/** Longer than a request's statement may take. */
const LONG_MS = 6000

describe.skipIf(ENGINE === 'pglite')('migrations on Postgres', () => {
  let database: TestDatabase
  let url = ''
  beforeEach(async () => {
    database = await createTestDatabase()
    url = database.url ?? ''
    await sql`drop schema public cascade`.execute(database.handle.db)
    await sql`create schema public`.execute(database.handle.db)
  })
  afterEach(() => database[Symbol.asyncDispose]())

  const start = () =>
    createService(loadConfig({ DATABASE_URL: url, JWT_SECRET, STORAGE: 'inline', PORT: '0' }), {
      log: pino({ level: 'silent' }),
    })

  test('a start waits for one that migrates longer than a request may take', async () => {
    const other = await openPostgres({ url, maxConnections: 1, timeouts: false }, LOG)
    try {
      await sql`select pg_advisory_lock(${MIGRATION_LOCK}::bigint)`.execute(other.db)
      const starting = start()
      const first = await Promise.race([starting, sleep(LONG_MS, 'waits')])
      expect(first).toBe('waits')
      await sql`select pg_advisory_unlock(${MIGRATION_LOCK}::bigint)`.execute(other.db)
      await (await starting).close()
    } finally {
      await other.close()
    }
  })

  test('five first starts at once all come up', async () => {
    const services = await Promise.all(Array.from({ length: 5 }, start))
    for (const service of services) await service.close()
    expect(await migrate(database.handle.db)).toEqual([])
  })

  test('the limits of requests hold for requests alone, whatever the role has', async () => {
    const limits = async (timeouts: boolean) => {
      const { db, close } = await openPostgres({ url, timeouts }, LOG)
      const { rows } = await sql<{ setting: string }>`
        select setting from pg_settings where name in
          ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')
        order by name`.execute(db)
      await close()
      return rows.map(({ setting }) => Number(setting))
    }
    const { pathname } = new URL(url)
    await sql`alter database ${sql.id(pathname.slice(1))} set statement_timeout = 1234`.execute(
      database.handle.db,
    )
    expect(await limits(true)).toEqual([10_000, 2000, 5000])
    expect(await limits(false)).toEqual([0, 0, 0])
  })
})
