import { sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import type { Db } from './client.ts'
import { migrations } from './migrations/index.ts'

/**
 * Brings the schema up to date and returns the names of what it ran. Several processes may call it
 * at once: kysely takes an advisory lock on Postgres, the others wait and find nothing to do. That
 * wait and large tables want a connection without timeouts.
 */
export async function migrate(db: Db): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error, results } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
  return (results ?? []).map((result) => result.migrationName)
}

/** Names of migrations that have not run yet. */
export async function pendingMigrations(db: Db): Promise<string[]> {
  const exists = await sql<{ found: boolean }>`
    select to_regclass('kysely_migration') is not null as found`.execute(db)
  if (exists.rows[0]?.found !== true) return Object.keys(migrations)
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const all = await migrator.getMigrations()
  return all.filter((one) => one.executedAt === undefined).map((one) => one.name)
}
