import { randomBytes } from 'node:crypto'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { type Db, type DbHandle, openPglite, openPostgres } from '../../src/db/client.ts'

const UNHEARD = { onConnectionError: () => {} }

/** A new one on the server of the environment; it goes with the stack. */
export async function createDatabase(opened: AsyncDisposableStack): Promise<string> {
  const server = process.env['TEST_DATABASE_URL']
  if (server === undefined) throw new Error('TEST_DATABASE_URL is missing')
  const name = `crash_${randomBytes(6).toString('hex')}`
  const run = async (statement: string) => {
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }
  await run(`create database ${name}`)
  opened.defer(() => run(`drop database ${name} with (force)`))
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function withDb<T>(opening: Promise<DbHandle>, work: (db: Db) => Promise<T>): Promise<T> {
  const { db, close } = await opening
  return work(db).finally(close)
}

export const withPostgres = <T>(url: string, work: (db: Db) => Promise<T>): Promise<T> =>
  withDb(openPostgres({ url }, UNHEARD), work)

/** Opens a copy of an embedded database; of an idle service, or it would hold half of a write. */
export async function withCopy<T>(
  folder: string,
  beside: string,
  work: (db: Db) => Promise<T>,
): Promise<T> {
  const copy = join(beside, 'copy')
  await cp(folder, copy, { recursive: true })
  try {
    return await withDb(openPglite({ folder: copy }, UNHEARD), work)
  } finally {
    await rm(copy, { recursive: true })
  }
}
