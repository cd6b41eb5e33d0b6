import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { migrateQueue } from '../adapters/queue/pg-boss.ts'
import type { Config } from '../config.ts'
import { type DbHandle, type DbLog, failureClass, openPglite, openPostgres } from '../db/client.ts'
import { type FolderLock, lockFolder } from '../db/folder-lock.ts'
import { migrate } from '../db/migrate.ts'
import type { Log } from '../kernel/log.ts'
import type { Metrics } from '../kernel/metrics.ts'

/** Opens the database, an embedded one under its folder's lock; what is opened is closed by the stack. */
export async function open(
  config: Config,
  log: DbLog,
  opened: AsyncDisposableStack,
  given?: DbHandle,
): Promise<{ database: DbHandle; lock: FolderLock | undefined }> {
  if (given !== undefined) return { database: given, lock: undefined }
  const { url } = config.database
  const lock = url === undefined ? opened.use(await lockDataDir(config)) : undefined
  const database =
    url === undefined
      ? await openPglite({ folder: join(config.dataDir, 'db') }, log)
      : await openPostgres({ url, directUrl: config.database.directUrl }, log)
  opened.defer(() => database.close())
  return { database, lock }
}

/** Requests that wait for a connection must not lose what was paid for. */
export const URGENT_CONNECTIONS = 2
/** Nor may they, or ends that wait for a lock, end the leases of what runs. */
export const LEASE_CONNECTIONS = 1

/** Connections of their own to the same database; an embedded one has but one session. */
export async function openBeside(
  { database: { url } }: Config,
  database: DbHandle,
  maxConnections: number,
  log: DbLog,
  opened: AsyncDisposableStack,
): Promise<DbHandle> {
  if (url === undefined) return database
  const beside = await openPostgres({ url, maxConnections }, log)
  opened.defer(() => beside.close())
  return beside
}

async function lockDataDir(config: Config): Promise<FolderLock> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  return lockFolder(config.dataDir)
}

/** On Postgres over a connection without the limits of requests, and past a transaction pooler. */
export async function migrateSchema(
  { database: { directUrl, url } }: Config,
  database: DbHandle,
  log: DbLog,
  given?: DbHandle,
): Promise<string[]> {
  if (given !== undefined || url === undefined) return migrateAll(database)
  const direct = await openPostgres(
    { url: directUrl ?? url, maxConnections: 2, timeouts: false },
    log,
  )
  try {
    return await migrateAll(direct)
  } finally {
    await direct.close()
  }
}

async function migrateAll(database: DbHandle): Promise<string[]> {
  const ran = await migrate(database.db)
  await migrateQueue(database)
  return ran
}

export const dbLogOf = (log: Log, metrics?: Metrics): DbLog => ({
  onConnectionError: (error) => log.warn({ err: error }, 'a database connection broke'),
  onFailure: (error) => metrics?.queryFailures.inc({ class: failureClass(error) }),
})

export function watchConnections(metrics: Metrics, pool: string, { connections }: DbHandle): void {
  if (connections === undefined) return
  metrics.watch('db_connections', () =>
    Object.entries(connections()).map(([state, value]) => ({ labels: { pool, state }, value })),
  )
}
