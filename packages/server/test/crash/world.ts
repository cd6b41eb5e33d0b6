import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import S3rver from '@20minutes/s3rver'
import { createDiskObjectStore } from '../../src/adapters/object-store/disk.ts'
import { createS3ObjectStore } from '../../src/adapters/object-store/s3.ts'
import type { Db } from '../../src/db/client.ts'
import type { CurrentObjectStore } from '../../src/ports/object-store.ts'
import { createDatabase, withCopy, withPostgres } from './databases.ts'
import type { Client, Order } from './orders.ts'
import { type Env, type Running, startProvider } from './processes.ts'
import { startWitness, type Witness } from './witness.ts'

export const ENGINES = ['pglite', 'postgres'] as const
export type Engine = (typeof ENGINES)[number]

/** What outlives the service: database, stores, provider, and the memory of its clients. */
export interface World extends AsyncDisposable {
  readonly engine: Engine
  readonly env: Env
  readonly provider: Running
  /** In front of the provider, and of the bucket. */
  readonly upstream: Witness
  readonly bucket: Witness
  readonly objects: CurrentObjectStore
  /** Lends the database; an embedded one as a copy, since its folder belongs to the service. */
  withDatabase<T>(work: (db: Db) => Promise<T>): Promise<T>
  readonly orders: Order[]
  /** Set once somebody has registered. */
  key: Client['key'] | undefined
}

export const LEASE_SECONDS = 2
const BUCKET = 'pictures'
const S3_KEYS = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }

export async function createWorld(engine: Engine): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-crash-'))
  opened.defer(() => rm(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  const provider = await startProvider()
  opened.defer(() => provider.kill())
  const upstream = opened.use(await startWitness(provider.url))
  const s3 = await startS3(join(folder, 's3'))
  opened.defer(() => s3.close())
  const bucket = opened.use(await startWitness(s3.url))
  const url = engine === 'postgres' ? await createDatabase(opened) : undefined
  const objects = await openObjects(join(dataDir, 'files'), s3.url)
  const owned = opened.move()
  return {
    engine,
    env: envOf({ dataDir, url, upstream, bucket }),
    provider,
    upstream,
    bucket,
    objects,
    withDatabase: (work) =>
      url === undefined ? withCopy(join(dataDir, 'db'), folder, work) : withPostgres(url, work),
    orders: [],
    key: undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const envOf = (parts: {
  dataDir: string
  url: string | undefined
  upstream: Witness
  bucket: Witness
}): Env => ({
  ...(parts.url === undefined ? {} : { DATABASE_URL: parts.url }),
  DATA_DIR: parts.dataDir,
  PORT: '0',
  LEASE_SECONDS: String(LEASE_SECONDS),
  LOG_LEVEL: 'fatal',
  BCRYPT_COST: '10',
  JWT_SECRET: randomBytes(32).toString('base64url'),
  GEMINI_API_KEY: 'x',
  GEMINI_BASE_URL: parts.upstream.url,
  S3_ENDPOINT: parts.bucket.url,
  S3_BUCKET: BUCKET,
  S3_REGION: 'auto',
  S3_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
  S3_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_CONCURRENCY: '10000',
  RATE_LIMIT_IP_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
})

async function startS3(directory: string): Promise<{ url: string; close(): Promise<void> }> {
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    vhostBuckets: false,
    configureBuckets: [{ name: BUCKET, configs: [] }],
  })
  const { port } = await server.run()
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
}

async function openObjects(folder: string, endpoint: string): Promise<CurrentObjectStore> {
  const disk = await createDiskObjectStore({
    folder,
    signUrl: (key) => ({ url: key, expiresAt: null }),
  })
  const now = () => new Date()
  const options = { endpoint, bucket: BUCKET, region: 'auto', ...S3_KEYS, urlTtlSeconds: 60, now }
  // s3rver refuses the signature of a listing; and what lies in it is too young to be an orphan.
  const s3 = {
    ...createS3ObjectStore(options),
    list: async function* () {},
    now: async () => now(),
  }
  return { ...disk, other: async (kind) => (kind === 's3' ? s3 : undefined) }
}
