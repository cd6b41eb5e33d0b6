import { randomBytes } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { InjectOptions } from 'fastify'
import pg from 'pg'
import { pino } from 'pino'
import { inject } from 'vitest'
import { loadConfig } from '../src/config.ts'
import { type DbHandle, openPglite, openPostgres } from '../src/db/client.ts'
import { migrate } from '../src/db/migrate.ts'
import { createService, type Service, type ServiceOverrides } from '../src/service.ts'

/** Set by CI: the suite runs again on a real server, one database per app. */
const POSTGRES_URL = process.env['TEST_DATABASE_URL']

export const ENGINE: DbHandle['engine'] = POSTGRES_URL === undefined ? 'pglite' : 'postgres'

/** A secret of tests; nothing else accepts it. */
export const JWT_SECRET = 'test-only-secret-0123456789-abcdefghij'

export interface TestDatabase extends AsyncDisposable {
  readonly handle: DbHandle
  /** Address for further processes; undefined on PGlite, which has but one. */
  readonly url: string | undefined
  /** Every statement that was sent. */
  readonly statements: string[]
}

/** A fresh, migrated database of the engine under test. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const statements: string[] = []
  const log = { onConnectionError: () => {}, onQuery: (text: string) => void statements.push(text) }
  if (POSTGRES_URL === undefined) {
    const template = await openAsBlob(inject('pgliteTemplate'))
    const handle = await openPglite({ template }, log)
    return { handle, url: undefined, statements, [Symbol.asyncDispose]: () => handle.close() }
  }
  const name = `test_${randomBytes(8).toString('hex')}`
  await onServer(POSTGRES_URL, `create database ${name}`)
  const url = new URL(POSTGRES_URL)
  url.pathname = `/${name}`
  const handle = await openPostgres({ url: url.href }, log)
  await migrate(handle.db)
  return {
    handle,
    url: url.href,
    statements,
    async [Symbol.asyncDispose]() {
      await handle.close()
      await onServer(POSTGRES_URL, `drop database ${name} with (force)`)
    },
  }
}

/** A database that the test made itself and closes itself. */
const borrowed = (handle: DbHandle): TestDatabase => ({
  handle,
  url: undefined,
  statements: [],
  [Symbol.asyncDispose]: async () => {},
})

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

export interface TestAppOptions extends ServiceOverrides {
  /** Over the defaults of a test, which raise the limits that a test is not about. */
  readonly env?: Record<string, string>
}

export interface Account {
  readonly id: string
  readonly email: string
  readonly password: string
  readonly token: string
}

export interface TestApp extends AsyncDisposable {
  readonly service: Service
  readonly database: TestDatabase
  /** Lines the service logged, parsed. */
  readonly logs: Record<string, unknown>[]
  readonly dataDir: string
  /** One request through the front door, without a port. */
  request(
    method: string,
    path: string,
    options?: {
      token?: string
      body?: unknown
      headers?: Record<string, string>
      /** Address of the client; by default loopback. */
      ip?: string
    },
  ): Promise<TestResponse>
  /** Registers and logs in somebody new. */
  register(): Promise<Account>
  /** Creates a key for the account and answers its secret. */
  createKey(account: Account, input?: Record<string, unknown>): Promise<{ id: string; key: string }>
  /** Opens a port on loopback, for clients that need one. */
  listen(): Promise<string>
}

export interface TestResponse {
  readonly status: number
  readonly headers: Record<string, string | undefined>
  readonly text: string
  readonly bytes: Buffer
  // A test reads what it expects and fails where that is absent.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

const TEST_ENV = {
  JWT_SECRET,
  PORT: '0',
  STORAGE: 'disk',
  RATE_LIMIT_REGISTER_PER_HOUR: '10000',
  RATE_LIMIT_LOGIN_PER_MINUTE: '10000',
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
  RATE_LIMIT_IP_RPM: '1000000',
  PUBLIC_URL: 'http://nanobanana.test',
}

/** The cheapest cost bcrypt takes; configuration refuses it. */
const BCRYPT_COST = 4

/** The whole service on a fresh database, quick enough for every test file to have its own. */
export async function createTestApp({ env, ...overrides }: TestAppOptions = {}): Promise<TestApp> {
  const database =
    overrides.database === undefined ? await createTestDatabase() : borrowed(overrides.database)
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-test-'))
  const logs: Record<string, unknown>[] = []
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void logs.push(JSON.parse(line) as Record<string, unknown>) },
  )
  const config = loadConfig(
    Object.fromEntries(
      Object.entries({ ...TEST_ENV, DATA_DIR: dataDir, ...env }).filter(
        ([, value]) => value !== '',
      ),
    ),
  )
  const service = await createService(config, {
    database: database.handle,
    log,
    bcryptCost: BCRYPT_COST,
    ...overrides,
  })
  return {
    service,
    database,
    logs,
    dataDir,
    ...clientOf(service),
    listen: () => service.listen(),
    async [Symbol.asyncDispose]() {
      await service.close()
      await database[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

const isBytes = (body: unknown): body is string | Buffer =>
  typeof body === 'string' || Buffer.isBuffer(body)

let people = 0

function clientOf(service: Service): Pick<TestApp, 'request' | 'register' | 'createKey'> {
  const request: TestApp['request'] = async (method, path, options = {}) => {
    const { token, body, headers, ip } = options
    const response = await service.http.app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: path,
      ...(ip === undefined ? {} : { remoteAddress: ip }),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: isBytes(body) ? body : JSON.stringify(body) }),
    })
    // Proxies put a page of their own in the place of these.
    if ([502, 504].includes(response.statusCode)) throw new Error(`${method} ${path}: 502 or 504`)
    const isJson = String(response.headers['content-type']).startsWith('application/json')
    return {
      status: response.statusCode,
      headers: response.headers as Record<string, string | undefined>,
      text: response.body,
      bytes: response.rawPayload,
      json: isJson && response.body !== '' ? JSON.parse(response.body) : undefined,
    }
  }
  return {
    request,
    async register() {
      const email = `person${++people}@example.com`
      const password = 'correct horse battery'
      const credentials = { email, password }
      const registered = await request('POST', '/v1/auth/register', { body: credentials })
      const session = await request('POST', '/v1/auth/login', { body: credentials })
      return { id: registered.json.id, email, password, token: session.json.access_token }
    },
    async createKey(account, input = {}) {
      const created = await request('POST', '/v1/keys', {
        token: account.token,
        body: { name: 'a key', mode: 'test', scopes: ['generate', 'read', 'usage'], ...input },
      })
      return { id: created.json.id, key: created.json.key }
    },
  }
}
