import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { createDiskObjectStore } from '../src/adapters/object-store/disk.ts'
import { findViolations } from '../src/check/check.ts'
import type { Violation } from '../src/check/violation.ts'
import { parseId } from '../src/kernel/ids.ts'
import { createTestDatabase, JWT_SECRET, type TestDatabase } from './harness.ts'
import { type Running, startServer } from './long/processes.ts'

/** Several processes of the service on one Postgres, and a provider that counts their calls. */
export interface Cluster extends AsyncDisposable {
  readonly database: TestDatabase
  readonly emulator: Emulator
  readonly servers: readonly Running[]
  /** Registers somebody, and creates a key that calls the provider. */
  createPayer(key?: Record<string, unknown>): Promise<Payer>
  /** What contradicts the invariants, when nothing is under way. */
  findViolations(): Promise<Violation[]>
  /** One request to the n-th process, counted round. */
  call(n: number, path: string, options: CallOptions): Promise<Answer>
}

export interface Payer {
  /** UUID of the account. */
  readonly userId: string
  /** UUID of the key. */
  readonly keyId: string
  readonly key: string
}

export interface CallOptions {
  readonly token?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // A test reads what it expects and fails where that is absent.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

const HIGH = {
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_CONCURRENCY: '10000',
  RATE_LIMIT_IP_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
  RATE_LIMIT_LOGIN_PER_MINUTE: '10000',
  RATE_LIMIT_REGISTER_PER_HOUR: '10000',
}

/** Starts `size` processes; needs TEST_DATABASE_URL. */
export async function startCluster(
  size: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Cluster> {
  await using opened = new AsyncDisposableStack()
  const database = opened.use(await createTestDatabase())
  const emulator = opened.use(await startEmulator({ signatureBytes: 64 }))
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-cluster-'))
  opened.defer(() => rm(dataDir, { recursive: true, force: true }))
  const settings = {
    DATABASE_URL: database.url ?? '',
    DATA_DIR: dataDir,
    JWT_SECRET,
    PORT: '0',
    STORAGE: 'disk',
    LOG_LEVEL: 'fatal',
    BCRYPT_COST: '10',
    GEMINI_API_KEY: 'x',
    GEMINI_BASE_URL: emulator.url,
    ...HIGH,
    ...env,
  }
  const starting = Array.from({ length: size }, () => startServer(settings))
  const servers = await Promise.all(starting)
  for (const server of servers) opened.defer(() => killed(server))
  const call: Cluster['call'] = (n, path, options) =>
    send(servers[n % servers.length]!.url + path, options)
  const owned = opened.move()
  return {
    database,
    emulator,
    servers,
    call,
    findViolations: async () => {
      const folder = join(dataDir, 'files')
      const store = await createDiskObjectStore({
        folder,
        signUrl: () => ({ url: '', expiresAt: null }),
      })
      return findViolations(database.handle.db, { ...store, other: async () => undefined })
    },
    createPayer: (key) => createPayer(call, key),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Ends a process at once, as a lack of memory does. */
export async function killed(server: Running): Promise<void> {
  try {
    process.kill(server.pid, 'SIGKILL')
  } catch {
    // It has ended before.
  }
  await server.stop()
}

async function send(url: string, { token, body, headers }: CallOptions): Promise<Answer> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, json: await response.json() }
}

let people = 0

async function createPayer(call: Cluster['call'], key: object = {}): Promise<Payer> {
  const account = { email: `payer${++people}@example.com`, password: 'correct horse battery' }
  const registered = await call(0, '/v1/auth/register', { body: account })
  const session = await call(0, '/v1/auth/login', { body: account })
  const created = await call(0, '/v1/keys', {
    token: session.json.access_token,
    body: { name: 'payer', mode: 'live', ...key },
  })
  return {
    userId: parseId('user', registered.json.id)!,
    keyId: parseId('key', created.json.id)!,
    key: created.json.key,
  }
}
