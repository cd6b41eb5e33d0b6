import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { type Db, openPostgres } from '../../src/db/client.ts'
import { newUuid, uuidOf } from '../../src/kernel/ids.ts'
import { type History, insertHistory, insertLedger } from '../history.ts'
import { startServer } from './processes.ts'

/** The service in a process of its own, on a database in which an account has a history. */
export interface Filled extends AsyncDisposable {
  readonly url: string
  /** The account's. */
  readonly token: string
  readonly generations: number
  /** Milliseconds that writing the history took. */
  readonly fillMs: number
}

const KEYS = 8
/** Other accounts, each with a hundredth of the generations. */
const OTHERS = 10
const PASSWORD = 'correct horse battery'
const UNLIMITED = {
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_IP_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
}

/** `server`: a Postgres on which databases may be created, by a superuser. */
export async function startFilled(server: string, generations: number): Promise<Filled> {
  const name = `filled_${randomBytes(6).toString('hex')}`
  await on(server, (db) => sql`create database ${sql.id(name)}`.execute(db))
  const database = new URL(server)
  database.pathname = `/${name}`
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-filled-'))
  const service = await startServer({
    DATABASE_URL: database.href,
    DATA_DIR: dataDir,
    JWT_SECRET: randomBytes(32).toString('hex'),
    PORT: '0',
    STORAGE: 'disk',
    LOG_LEVEL: 'warn',
    ...UNLIMITED,
  })
  const { token, userId, keyIds } = await createAccount(service.url)
  const begun = performance.now()
  await on(database.href, (db) => fill(db, { userId, keyIds, generations }))
  return {
    url: service.url,
    token,
    generations,
    fillMs: performance.now() - begun,
    async [Symbol.asyncDispose]() {
      await service.stop()
      await on(server, (db) => sql`drop database ${sql.id(name)} with (force)`.execute(db))
      await rm(dataDir, { recursive: true })
    },
  }
}

async function on(url: string, work: (db: Db) => Promise<unknown>): Promise<void> {
  const handle = await openPostgres({ url, timeouts: false }, { onConnectionError: () => {} })
  await work(handle.db).finally(() => handle.close())
}

async function createAccount(url: string) {
  const post = async (path: string, body: object, token?: string) => {
    const authorization = token === undefined ? undefined : { authorization: `Bearer ${token}` }
    const headers = { 'content-type': 'application/json', ...authorization }
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
    return (await answer.json()) as { id: string; access_token: string }
  }
  const credentials = { email: 'person@example.com', password: PASSWORD }
  const { id } = await post('/v1/auth/register', credentials)
  const { access_token: token } = await post('/v1/auth/login', credentials)
  const keyIds: string[] = []
  for (let n = 0; n < KEYS; n++) {
    const key = await post('/v1/keys', { name: `key ${n}` }, token)
    keyIds.push(uuidOf(key.id))
  }
  return { token, userId: uuidOf(id), keyIds }
}

async function fill(db: Db, history: History): Promise<void> {
  await insertHistory(db, history)
  await insertLedger(db, history)
  for (let n = 0; n < OTHERS; n++) {
    const stranger = { userId: newUuid(), keyIds: Array.from({ length: KEYS }, () => newUuid()) }
    await insertHistory(db, { ...stranger, generations: history.generations / 100 })
  }
  // As a server does by itself after a while.
  await sql`vacuum analyze`.execute(db)
}
