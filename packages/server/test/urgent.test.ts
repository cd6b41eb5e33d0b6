import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { createApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { transaction } from '../src/db/client.ts'
import { renew } from '../src/features/generations/generations.service.ts'
import { newRun } from '../src/features/generations/running.ts'
import { newUuid } from '../src/kernel/ids.ts'
import { createTestDatabase, ENGINE, JWT_SECRET } from './harness.ts'

/** As many as the pool of requests has. */
const CONNECTIONS = 10

// PGlite has one session for all.
test.skipIf(ENGINE === 'pglite')(
  'leases are renewed and ends are written while requests have taken every connection',
  async () => {
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
      const { db, urgentDb, leases } = app.deps
      const gate = Promise.withResolvers<void>()
      const taken = Array.from({ length: CONNECTIONS }, () => Promise.withResolvers<void>())
      const crowd = taken.map((one) =>
        transaction(db, async () => {
          one.resolve()
          await gate.promise
        }),
      )
      await Promise.all(taken.map(({ promise }) => promise))
      await expect(sql`select 1`.execute(db)).rejects.toThrow('timeout exceeded')
      leases.held.set(newUuid(), newRun())
      await renew(app.deps)
      await transaction(urgentDb, async (tx) => void (await sql`select 1`.execute(tx)))
      gate.resolve()
      await Promise.all(crowd)
    } finally {
      await app.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  },
)
