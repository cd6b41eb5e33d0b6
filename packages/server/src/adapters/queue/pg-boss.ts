import { sql } from 'kysely'
import { fromKysely, PgBoss } from 'pg-boss'
import type { DbHandle } from '../../db/client.ts'
import type { Queue } from '../../ports/queue.ts'

/** Names of pg-boss's schema and of our queue in it. */
const SCHEMA = 'pgboss'
const GENERATIONS = 'generations'

/** A job leaves the table as it is taken, so there is nothing to supervise, retry or retain. */
const open = ({ engine, query }: DbHandle, migrate: boolean): PgBoss =>
  new PgBoss({
    db: { executeSql: query as (text: string, values?: unknown[]) => Promise<{ rows: never[] }> },
    ...(engine === 'pglite' ? { backend: 'pglite' as const } : {}),
    schema: SCHEMA,
    migrate,
    createSchema: migrate,
    supervise: false,
    schedule: false,
  })

/** Makes or updates the tables. Several processes may call it at once: one does it, the others wait. */
export async function migrateQueue(database: DbHandle): Promise<void> {
  // An embedded database has one process, and one session, which the work itself needs.
  if (database.engine === 'pglite') return migrateTables(database)
  await database.db.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`.execute(connection)
    try {
      await migrateTables(database)
    } finally {
      await sql`select pg_advisory_unlock(${MIGRATION_LOCK})`.execute(connection)
    }
  })
}

/** Any number that no other lock of the database has. */
const MIGRATION_LOCK = 0x6e_62_71_75

async function migrateTables(database: DbHandle): Promise<void> {
  const boss = open(database, true)
  boss.on('error', () => {})
  await boss.start()
  try {
    await boss.createQueue(GENERATIONS, { policy: 'standard', retentionSeconds: FOREVER_SECONDS })
  } finally {
    await boss.stop({ close: false, graceful: false })
  }
}

/** The row decides how long a generation may wait. */
const FOREVER_SECONDS = 365 * 86_400

export async function openQueue(
  database: DbHandle,
  onError: (error: Error) => void,
): Promise<Queue> {
  const boss = open(database, false)
  boss.on('error', onError)
  await boss.start()
  return {
    async enqueue(tx, id, { priority, delaySeconds = 0 }) {
      const startAfter = delaySeconds === 0 ? {} : { startAfter: delaySeconds }
      await boss.send(GENERATIONS, null, { id, priority, ...startAfter, db: fromKysely(tx) })
    },
    async take(tx) {
      const db = fromKysely(tx)
      const [job] = await boss.fetch(GENERATIONS, { batchSize: 1, db })
      if (job === undefined) return undefined
      await boss.deleteJob(GENERATIONS, job.id, { db })
      return job.id
    },
    close: () => boss.stop({ close: false, graceful: false }),
  }
}
