import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDiskObjectStore } from '../../src/adapters/object-store/disk.ts'
import { type Db, openPostgres } from '../../src/db/client.ts'
import type { CurrentObjectStore } from '../../src/ports/object-store.ts'
import { createDatabase } from '../crash/databases.ts'
import {
  type Env,
  type Running,
  startProvider,
  startReleaseBuild,
  startReleaseWorker,
} from '../crash/processes.ts'
import { freePorts, startBalancer } from './balancer.ts'

/** A place of the fleet, whatever process stands in it. */
export interface Instance {
  readonly name: string
  /** Past the balancer; a worker has none. */
  readonly url: string | undefined
  readonly running: Running | undefined
  /** Resolves once it says that it is ready. */
  start(): Promise<void>
  kill(): Promise<void>
  /** Asks it to end; resolves to its exit code. */
  stop(): Promise<number | null>
  /** What all its processes have printed. */
  output(): string
}

/** Processes of the release build on one Postgres, behind haproxy. */
export interface Fleet extends AsyncDisposable {
  /** Of the load balancer. */
  readonly url: string
  readonly servers: readonly Instance[]
  readonly workers: readonly Instance[]
  readonly provider: Running
  readonly db: Db
  readonly objects: CurrentObjectStore
}

export interface FleetOptions {
  readonly servers: number
  readonly workers: number
  readonly env?: Env
}

/** Limits that the harness is not about. */
export const HIGH: Env = {
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_CONCURRENCY: '10000',
  RATE_LIMIT_IP_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
  RATE_LIMIT_LOGIN_PER_MINUTE: '10000',
  RATE_LIMIT_REGISTER_PER_HOUR: '10000',
}

export async function startFleet({ servers, workers, env = {} }: FleetOptions): Promise<Fleet> {
  await using opened = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-swarm-'))
  opened.defer(() => rm(folder, { recursive: true, force: true }))
  const databaseUrl = await createDatabase(opened)
  const provider = await startProvider()
  opened.defer(() => provider.kill())
  const [front = 0, ...ports] = await freePorts(1 + servers)
  const settings = {
    DATABASE_URL: databaseUrl,
    DATA_DIR: folder,
    JWT_SECRET: randomBytes(32).toString('base64url'),
    PUBLIC_URL: `http://127.0.0.1:${front}`,
    TRUST_PROXY: '127.0.0.1/32',
    STORAGE: 'disk',
    LOG_LEVEL: 'error',
    BCRYPT_COST: '10',
    GEMINI_API_KEY: 'x',
    GEMINI_BASE_URL: provider.url,
    WEBHOOK_ALLOW_PRIVATE: 'true',
    ...HIGH,
    ...env,
  }
  const places = [
    ...ports.map((port, n) => serverAt(`server ${n + 1}`, { ...settings, PORT: String(port) })),
    ...Array.from({ length: workers }, (_, n) => workerAt(`worker ${n + 1}`, settings)),
  ]
  for (const place of places) opened.defer(() => place.kill())
  await Promise.all(places.map((place) => place.start()))
  const balancer = opened.use(await startBalancer(folder, front, ports))
  const { db, close } = await openPostgres({ url: databaseUrl }, { onConnectionError: () => {} })
  opened.defer(close)
  const files = { folder: join(folder, 'files'), signUrl: () => ({ url: '', expiresAt: null }) }
  const objects = { ...(await createDiskObjectStore(files)), other: async () => undefined }
  const owned = opened.move()
  return {
    url: balancer.url,
    servers: places.slice(0, servers),
    workers: places.slice(servers),
    provider,
    db,
    objects,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function serverAt(name: string, env: Env): Instance {
  const url = `http://127.0.0.1:${env['PORT']}`
  return instanceOf(name, url, async () => {
    const running = await startReleaseBuild(env)
    await untilReady(url)
    return running
  })
}

const workerAt = (name: string, env: Env): Instance =>
  instanceOf(name, undefined, () => startReleaseWorker(env))

function instanceOf(
  name: string,
  url: string | undefined,
  begin: () => Promise<Running>,
): Instance {
  let running: Running | undefined
  let before = ''
  const leave = async <T>(how: (process: Running) => Promise<T>): Promise<T | undefined> => {
    const process = running
    running = undefined
    if (process === undefined) return undefined
    const result = await how(process)
    before += process.output()
    return result
  }
  return {
    name,
    url,
    get running() {
      return running
    },
    async start() {
      running = await begin()
    },
    async kill() {
      await leave((process) => process.kill())
    },
    stop: async () => (await leave((process) => process.stop())) ?? null,
    output: () => before + (running?.output() ?? ''),
  }
}

const READY_MS = 15_000

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    if (response?.status === 200) return
    if (performance.now() > deadline) throw new Error(`${url} is not ready`)
    await sleep(50)
  }
}
