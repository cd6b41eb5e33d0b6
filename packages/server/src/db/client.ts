import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import {
  Kysely,
  type LogEvent,
  PGliteDialect,
  PostgresDialect,
  sql,
  type Transaction,
} from 'kysely'
import { hear, type Hearing, listen, type Unlisten } from './listen.ts'
import { CHANNEL } from './notify.ts'
import type { Database } from './schema.ts'

/** A connection pool, or embedded PGlite's single session. */
export type Db = Kysely<Database>

declare const inTransaction: unique symbol
/** A transaction. Branded, so that passing `db` where one belongs does not compile: on PGlite it would deadlock. */
export type Tx = Transaction<Database> & { readonly [inTransaction]: true }

export interface DbHandle {
  readonly db: Db
  readonly engine: 'postgres' | 'pglite'
  /** For libraries that bring SQL of their own. Without values it may be several statements. */
  readonly query: RawQuery
  /** Hears what is notified (`db/notify`) from when this resolves. Resolves to its end. */
  listen(hearing: Hearing): Promise<Unlisten>
  /** Absent where there is but one session. */
  readonly connections?: () => Connections
  close(): Promise<void>
}

export type RawQuery = (text: string, values?: unknown[]) => Promise<{ rows: unknown[] }>

/** Of a pool, now. */
export interface Connections {
  readonly busy: number
  readonly idle: number
  /** Work that waits for one. */
  readonly waiting: number
}

export interface DbLog {
  /** A connection broke outside a query; the pool replaces it. */
  onConnectionError(error: Error): void
  /** Each statement sent, for tests that count them. */
  onQuery?(statement: string): void
  /** A statement failed, or found no connection. */
  onFailure?(error: unknown): void
}

/** Milliseconds; Postgres only, PGlite honours none of them. */
const STATEMENT_TIMEOUT_MS = 5000
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 2000
const POOL_WAIT_MS = 2000

const REQUEST_TIMEOUTS = {
  statement_timeout: STATEMENT_TIMEOUT_MS,
  idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
  lock_timeout: LOCK_TIMEOUT_MS,
}
/** Zeroes would not be sent as the fields above; unsent, those of the role would hold. */
const NO_TIMEOUTS = {
  options: Object.keys(REQUEST_TIMEOUTS)
    .map((name) => `-c ${name}=0`)
    .join(' '),
}

const BIGINT_OID = 20

export interface PostgresOptions {
  readonly url: string
  /** For LISTEN, past a transaction pooler; default `url`. */
  readonly directUrl?: string | undefined
  readonly maxConnections?: number
  /** False: a statement may take as long as it likes, as a migration may. */
  readonly timeouts?: boolean
}

/** Opens a pool on Postgres 15 or newer. */
export async function openPostgres(options: PostgresOptions, log: DbLog): Promise<DbHandle> {
  const { url, directUrl } = options
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: url,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: POOL_WAIT_MS,
    ...(options.timeouts === false ? NO_TIMEOUTS : REQUEST_TIMEOUTS),
    types: {
      // Counts and micro-dollars stay below 2^53; PGlite already answers numbers.
      getTypeParser: ((oid: number, format: 'text' | 'binary') =>
        oid === BIGINT_OID ? Number : pg.types.getTypeParser(oid, format)) as never,
    },
  })
  pool.on('error', log.onConnectionError)
  // A checked-out client that breaks emits its error on itself, which ends the process unheard.
  pool.on('connect', (client) => client.on('error', log.onConnectionError))
  const told = { options: pool.options, connect: connectTo(pool, log), end: () => pool.end() }
  const dialect = new PostgresDialect({ pool: told })
  const db = new Kysely<Database>({ dialect, ...queryLog(log) })
  const connections = () => ({
    busy: pool.totalCount - pool.idleCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
  })
  return {
    db,
    engine: 'postgres',
    connections,
    query: async (text, values) => {
      // Several statements have several results, of which the library wants the rows.
      const results: { rows: unknown[] } | { rows: unknown[] }[] = await pool.query(text, values)
      return Array.isArray(results) ? { rows: results.flatMap(({ rows }) => rows) } : results
    },
    listen: (hearing) =>
      listen(() => new pg.Client({ connectionString: directUrl ?? url, keepAlive: true }), {
        ...hearing,
        onError: log.onConnectionError,
      }),
    close: () => db.destroy(),
  }
}

/** kysely tells of statements that fail, and not of those that find no connection. */
const connectTo = (pool: Pool, log: DbLog) => async () => {
  try {
    return await pool.connect()
  } catch (error) {
    log.onFailure?.(error)
    throw error
  }
}

/** Opens embedded PGlite in a folder, or in memory when no folder is given. */
export async function openPglite(
  options: { folder?: string; template?: Blob },
  log: DbLog,
): Promise<DbHandle> {
  const { PGlite } = await import('@electric-sql/pglite')
  const pglite = await PGlite.create({
    ...(options.folder === undefined ? {} : { dataDir: options.folder }),
    ...(options.template === undefined ? {} : { loadDataDir: options.template }),
  })
  const db = new Kysely<Database>({ dialect: new PGliteDialect({ pglite }), ...queryLog(log) })
  return {
    db,
    engine: 'pglite',
    // In its turn: the session is one, and a transaction of others may be open on it.
    query: (text, values) =>
      db.connection().execute(async () => {
        try {
          if (values !== undefined && values.length > 0) return await pglite.query(text, values)
          return { rows: (await pglite.exec(text)).flatMap(({ rows }) => rows) }
        } catch (error) {
          // A transaction of its own that failed would stay open on the session of all.
          await pglite.exec('rollback')
          throw error
        }
      }),
    listen: async (hearing) => pglite.listen(CHANNEL, (payload) => hear(hearing, payload)),
    close: () => db.destroy(),
  }
}

const queryLog = ({ onQuery, onFailure }: DbLog) => ({
  log(event: LogEvent) {
    onQuery?.(event.query.sql)
    if (event.level === 'error') onFailure?.(event.error)
  },
})

/** Of a transaction that the database gave up for the sake of others. */
const MAX_TRIES = 4
const MAX_PAUSE_MS = 50

/**
 * Runs `work` in a transaction; only the outermost service opens one. After a deadlock or a failed
 * serialization nothing of it has happened and `work` runs again, so it does nothing else.
 */
export async function transaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await db.transaction().execute((tx) => work(tx as Tx))
    } catch (error) {
      if (tries === MAX_TRIES || !GIVEN_UP.has(sqlState(error) ?? '')) throw error
      // At once it could take the same lock before the other one has what it waits for.
      await sleep(Math.random() * MAX_PAUSE_MS)
    }
  }
}

/** Rejects when the database does not answer. */
export async function ping(db: Db): Promise<void> {
  await sql`select 1`.execute(db)
}

/** Each has a digit; EPIPE is none. */
const SQLSTATE = /^(?=\D*\d)[0-9A-Z]{5}$/

/** SQLSTATE of a database error, from `pg` and from PGlite alike. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && SQLSTATE.test(code) ? code : undefined
}
export const UNIQUE_VIOLATION = '23505'
const SERIALIZATION_FAILURE = '40001'
const DEADLOCK = '40P01'
const GIVEN_UP = new Set([SERIALIZATION_FAILURE, DEADLOCK])

/** What kind of failure it was, by the first letters of its SQLSTATE; bounded, for counting. */
export function failureClass(error: unknown): string {
  const state = sqlState(error)
  if (state === undefined) return 'connection'
  return FAILURE_CLASSES.find(([, states]) => states.test(state))?.[0] ?? 'other'
}

const FAILURE_CLASSES = [
  ['connection', /^(08|57P)/],
  ['timeout', /^(57014|55P03|25P03)/],
  ['conflict', /^40/],
  ['constraint', /^23/],
  ['resources', /^(53|54|58)/],
] as const

const BROKEN_STATES = /^(08|57P0)/
const BROKEN_ERRNOS = /^(ECONNRESET|EPIPE|ETIMEDOUT)$/
const BROKEN_TEXTS = /Connection terminated unexpectedly|Client has encountered a connection error/

/** Whether the connection broke, so that what was sent last, a commit too, may have taken effect. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const state = sqlState(error)
  if (state !== undefined) return BROKEN_STATES.test(state)
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' && BROKEN_ERRNOS.test(code)) || BROKEN_TEXTS.test(error.message)
}
