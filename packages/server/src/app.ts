import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DEFAULT_MODEL, readModels } from '@nanobanana/shared'
import type { Logger } from 'pino'
import { createSharpCodec } from './adapters/image-codec/sharp.ts'
import { createLiveProvider } from './adapters/image-provider/live.ts'
import { createSandboxProvider } from './adapters/image-provider/sandbox.ts'
import { openNotifier } from './adapters/notifier/database.ts'
import { attempt } from './adapters/object-store/attempt.ts'
import { createDiskObjectStore } from './adapters/object-store/disk.ts'
import { createInlineObjectStore } from './adapters/object-store/inline.ts'
import { createS3ObjectStore } from './adapters/object-store/s3.ts'
import { migrateQueue, openQueue } from './adapters/queue/pg-boss.ts'
import { withBursts } from './adapters/rate-limiter/burst.ts'
import { withGathering } from './adapters/rate-limiter/gather.ts'
import { createMemoryRateLimiter } from './adapters/rate-limiter/memory.ts'
import { createPostgresRateLimiter } from './adapters/rate-limiter/postgres.ts'
import { createRedisRateLimiter } from './adapters/rate-limiter/redis.ts'
import { createHttpWebhookSender } from './adapters/webhook-sender/http.ts'
import {
  BootError,
  bootWarnings,
  type Config,
  ConfigError,
  loadConfig,
  type LoadConfigOptions,
} from './config.ts'
import { type DbHandle, type DbLog, failureClass, openPglite, openPostgres } from './db/client.ts'
import { type FolderLock, lockFolder } from './db/folder-lock.ts'
import { migrate } from './db/migrate.ts'
import { bcryptSlots, createPasswordHasher } from './features/auth/password.ts'
import { createCatalogue } from './features/generations/models.ts'
import { heedCancellations } from './features/generations/canceling.ts'
import {
  countSpooled,
  readOldest,
  readQueue,
  renew,
} from './features/generations/generations.service.ts'
import { recoverAbandoned } from './features/generations/recovering.ts'
import * as keys from './features/keys/keys.service.ts'
import * as webhooks from './features/webhooks/webhooks.service.ts'
import { startSweeper } from './features/sweeping/sweeper.ts'
import { createBackground } from './kernel/background.ts'
import { Crowding } from './kernel/crowding.ts'
import type { Deps, HeldRun, Settings } from './kernel/deps.ts'
import { createLog, type Log } from './kernel/log.ts'
import { measureLimiter, measureStore, observeCalls } from './kernel/measure.ts'
import { createMetrics, type Metrics } from './kernel/metrics.ts'
import { createRoom } from './kernel/room.ts'
import { loadSecrets } from './kernel/secrets.ts'
import { signPath } from './kernel/signed-url.ts'
import { Slots } from './kernel/slots.ts'
import type { ImageCodec } from './ports/image-codec.ts'
import type { CurrentObjectStore, ObjectStore, StorageKind } from './ports/object-store.ts'
import type { RateLimiter } from './ports/rate-limiter.ts'
import type { WebhookSender } from './ports/webhook-sender.ts'

/** The checked environment, with models that make sense and a default that is one of them. */
export const readConfig = (options: Omit<LoadConfigOptions, 'readModels'> = {}): Config =>
  loadConfig(undefined, { ...options, readModels })

/** What tests put in place of the real parts. */
export interface AppOverrides {
  readonly database?: DbHandle
  readonly log?: Logger
  readonly now?: () => Date
  readonly providers?: Partial<Deps['providers']>
  readonly objectStore?: ObjectStore
  readonly webhookSender?: WebhookSender
  /** Configuration refuses a cost this cheap. */
  readonly bcryptCost?: number
}

export interface App {
  readonly deps: Deps
  /** Says where the service answers, once that is known. */
  setAddress(url: string): Promise<void>
  /** Ends what runs in the background, then closes the database; entrances are closed before. */
  close(): Promise<void>
}

/** Images of requests that one process holds at once. */
const IMAGES_IN_FLIGHT_BYTES = 256 * 2 ** 20

/** Generations of requests that run here at once: their answers are in memory until they are stored. */
const RUNS_OF_REQUESTS = 64

/** How often generations of dead processes are looked for, on a database that others share. */
const RECOVERY_INTERVAL_MS = 3000

/** Builds what the entrances stand on: configuration, database, adapters. */
export async function createApp(config: Config, overrides: AppOverrides = {}): Promise<App> {
  const catalogue = catalogueOf(config)
  const log = overrides.log ?? createLog({ level: config.log.level })
  const metrics = createMetrics()
  const dbLog = dbLogOf(log, metrics)
  await using opened = new AsyncDisposableStack()
  const { database, lock } = await open(config, dbLog, opened, overrides.database)
  watchConnections(metrics, 'requests', database)
  const secrets = await loadSecrets(config)
  const { db } = database
  const openOwn = async (pool: string, connections: number) => {
    if (overrides.database !== undefined) return db
    const own = await openBeside(config, database, connections, dbLog, opened)
    if (own !== database) watchConnections(metrics, pool, own)
    return own.db
  }
  const urgentDb = await openOwn('urgent', URGENT_CONNECTIONS)
  const leaseDb = await openOwn('leases', LEASE_CONNECTIONS)
  await migrateSchema(config, database, dbLog, overrides.database)
  const address = { url: config.server.publicUrl ?? '' }
  const settings = settingsOf(config, address)
  const background = createBackground(log)
  opened.defer(() => background.drain())
  const now = overrides.now ?? (() => new Date())
  const codec = createSharpCodec()
  const room = createRoom(IMAGES_IN_FLIGHT_BYTES)
  metrics.watch('upload_bytes_in_flight', () => [{ value: room.taken() }])
  const slots = new Slots(RUNS_OF_REQUESTS)
  const leases = { seconds: config.jobs.leaseMs / 1000, held: new Map<string, HeldRun>() }
  const queue = await openQueue(database, (error) => log.warn({ err: error }, 'the queue'))
  opened.defer(() => queue.close())
  const notifier = await openNotifier(database)
  opened.defer(() => notifier.close())
  watchQueue(metrics, db)
  const deps: Deps = {
    db,
    urgentDb,
    leaseDb,
    leases,
    queue,
    notifier,
    slots,
    crowding: new Crowding(),
    providers: { ...providersOf(config, codec, { log, metrics }), ...overrides.providers },
    objectStore: measureStore(
      await openStores(config, { db, settings, secrets, now }, overrides.objectStore),
      metrics,
    ),
    rateLimiter: measureLimiter(
      withBursts(await openLimiter(config, { db, log, metrics }, opened)),
      metrics,
    ),
    codec,
    webhookSender: overrides.webhookSender ?? createHttpWebhookSender(config.webhooks),
    room,
    passwords: passwordsOf(config, overrides.bcryptCost),
    catalogue,
    settings,
    secrets,
    background,
    log,
    metrics,
    now,
  }
  await refuseUnreadableKeys(deps)
  await webhooks.reseal(deps)
  const embedded = database.engine === 'pglite'
  const recovered = await recoverAbandoned(deps, { all: embedded })
  if (recovered > 0)
    log.warn({ generations: recovered }, 'generations of a dead process were dealt with')
  const timers = [recoverRegularly(deps), renewRegularly(deps)]
  opened.defer(() => timers.forEach(clearInterval))
  opened.defer(heedCancellations(deps))
  opened.defer(startSweeper(deps))
  for (const warning of bootWarnings(config)) log.warn(warning)
  const owned = opened.move()
  return {
    deps,
    async setAddress(url) {
      // Nobody reaches the unspecified address itself.
      address.url ||= url.replace('[::]', '[::1]')
      await lock?.setAddress(address.url)
    },
    close: () => owned.disposeAsync(),
  }
}

/** `readConfig` tells what is wrong with a models file; here it is told to who loaded it otherwise. */
function catalogueOf({ provider }: Config): Deps['catalogue'] {
  const { models, problems } = readModels(provider.modelsText)
  if (problems.length > 0) throw new ConfigError(problems.map((fault) => `MODELS_FILE ${fault}`))
  return createCatalogue(models)
}

/** What an operator's command may touch. */
export type OperatorDeps = Pick<Deps, 'db' | 'passwords' | 'settings'> & {
  /** Migrations that this opening ran. */
  readonly migrated: readonly string[]
  /** Only where a command reads images: a bucket may not be reachable. */
  openStores(): Promise<CurrentObjectStore>
}

/** Opens and migrates the database for a command; no port, no provider. */
export async function openDeps(
  config: Config,
): Promise<{ deps: OperatorDeps; close(): Promise<void> }> {
  const dbLog = dbLogOf(createLog({ level: config.log.level }))
  await using opened = new AsyncDisposableStack()
  const { database } = await open(config, dbLog, opened)
  const migrated = await migrateSchema(config, database, dbLog)
  const owned = opened.move()
  const { db } = database
  const settings = settingsOf(config, { url: config.server.publicUrl ?? '' })
  return {
    deps: {
      db,
      passwords: passwordsOf(config),
      settings,
      migrated,
      async openStores() {
        const secrets = await loadSecrets(config)
        return openStores(config, { db, settings, secrets, now: () => new Date() })
      },
    },
    close: () => owned.disposeAsync(),
  }
}

/** Opens the database, an embedded one under its folder's lock; what is opened is closed by the stack. */
async function open(
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
const URGENT_CONNECTIONS = 2
/** Nor may they, or ends that wait for a lock, end the leases of what runs. */
const LEASE_CONNECTIONS = 1

/** Connections of their own to the same database; an embedded one has but one session. */
async function openBeside(
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
async function migrateSchema(
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

const dbLogOf = (log: Log, metrics?: Metrics): DbLog => ({
  onConnectionError: (error) => log.warn({ err: error }, 'a database connection broke'),
  onFailure: (error) => metrics?.queryFailures.inc({ class: failureClass(error) }),
})

function watchConnections(metrics: Metrics, pool: string, { connections }: DbHandle): void {
  if (connections === undefined) return
  metrics.watch('db_connections', () =>
    Object.entries(connections()).map(([state, value]) => ({ labels: { pool, state }, value })),
  )
}

/** Of the whole installation: each process tells the same. */
function watchQueue(metrics: Metrics, db: DbHandle['db']): void {
  metrics.watch('queue_generations', () => readQueue({ db }))
  metrics.watch('queue_oldest_seconds', () => readOldest({ db }))
  metrics.watch('spool_objects', async () => [{ value: (await countSpooled(db)).images }])
  metrics.watch('spool_oldest_seconds', async () => [
    { value: (await countSpooled(db)).oldestSeconds },
  ])
  metrics.watch('webhook_deliveries_waiting', async () => [
    { value: (await webhooks.readBacklog({ db })).waiting },
  ])
  metrics.watch('webhook_oldest_seconds', async () => [
    { value: (await webhooks.readBacklog({ db })).oldestSeconds },
  ])
}

const settingsOf = (config: Config, address: { url: string }): Settings => ({
  // Known once the port is open, when the system chose it.
  get publicUrl() {
    return address.url
  },
  registration: {
    mode: config.auth.registration,
    ...(config.auth.registrationToken === undefined
      ? {}
      : { token: config.auth.registrationToken }),
  },
  passwordMinLength: config.auth.passwordMinLength,
  defaultModel: config.provider.defaultModel ?? DEFAULT_MODEL,
  openaiModels: config.provider.openaiModels,
  urlTtlSeconds: config.images.urlTtlSeconds,
  inlineRetentionSeconds: config.images.inlineRetentionSeconds,
  maxUploadBytes: config.images.maxUploadBytes,
  maxStoredBytes: config.images.maxStoredBytes ?? null,
  spoolMaxBytes: config.images.spoolMaxBytes,
  upstreamTimeoutMs: config.provider.totalTimeoutMs,
  syncTimeoutMs: config.jobs.syncTimeoutMs,
  queueMax: config.jobs.queueMax,
  queueMaxPerAccount: config.jobs.queueMaxPerAccount,
  defaultMonthlyLimitMicros: config.limits.monthlyLimitMicros ?? null,
  keyRequestsPerMinute: config.limits.keyRequestsPerMinute,
  keyConcurrency: config.limits.keyConcurrency,
  accountRequestsPerMinute: config.limits.accountRequestsPerMinute,
  ipRequestsPerMinute: config.limits.ipRequestsPerMinute,
  registerPerHour: config.limits.registrationsPerHour,
  loginPerMinute: config.limits.loginsPerMinute,
})

const passwordsOf = (config: Config, cost = config.auth.bcryptCost): Deps['passwords'] =>
  createPasswordHasher({ cost, maxInFlight: bcryptSlots(config.server.threadPoolSize) })

function providersOf(
  { provider }: Config,
  codec: ImageCodec,
  { log, metrics }: Pick<Deps, 'log' | 'metrics'>,
): Deps['providers'] {
  const { geminiApiKey: apiKey, geminiBaseUrl: baseUrl, geminiApiVersion: apiVersion } = provider
  const test = createSandboxProvider({ codec })
  if (apiKey === undefined) return { test }
  const live = createLiveProvider({
    apiKey,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiVersion === undefined ? {} : { apiVersion }),
    attemptTimeoutMs: provider.attemptTimeoutMs,
    log,
    observer: observeCalls(metrics),
  })
  return { live, test }
}

/** While Redis is lost the database counts; one that is embedded has one process, so memory will do. */
async function openLimiter(
  { database, limits: { store }, redis }: Config,
  { db, log, metrics }: Pick<Deps, 'db' | 'log' | 'metrics'>,
  opened: AsyncDisposableStack,
): Promise<RateLimiter> {
  if (store === 'memory') return createMemoryRateLimiter()
  if (store === 'postgres') return withGathering(createPostgresRateLimiter(db))
  const fallback =
    database.url === undefined ? createMemoryRateLimiter() : createPostgresRateLimiter(db)
  const limiter = await createRedisRateLimiter({
    url: redis.url ?? '',
    log,
    fallback,
    onFallback: (store) => metrics.rateLimitFallbacks.inc({ store }),
  })
  opened.defer(() => limiter.close())
  return withGathering(limiter)
}

type StoreParts = Pick<Deps, 'db' | 'settings' | 'secrets' | 'now'>

async function openStores(
  config: Config,
  parts: StoreParts,
  given?: ObjectStore,
): Promise<CurrentObjectStore> {
  const current = given ?? (await openStore(config, config.storage, parts))
  const opened = new Map<StorageKind, Promise<ObjectStore>>()
  return {
    ...current,
    async other(kind) {
      const storage = storageOf(config, kind)
      if (storage === undefined || isNeverUsed(config, storage)) return undefined
      const open = () => openStore(config, storage, parts)
      const store = opened.get(kind) ?? attempt(`open the store ${kind}`, open)
      opened.set(kind, store)
      // A later use tries again.
      store.catch(() => opened.delete(kind))
      return store
    },
  }
}

function storageOf({ storage, s3 }: Config, kind: StorageKind): Config['storage'] | undefined {
  if (kind === storage.kind) return storage
  return kind === 's3' ? s3 : { kind }
}

/** Opening the store on disk makes its folder, which only a store for new objects needs. */
const isNeverUsed = (config: Config, { kind }: Config['storage']): boolean =>
  kind === 'disk' && config.storage.kind !== 'disk' && !existsSync(filesOf(config))

const filesOf = ({ dataDir }: Config): string => join(dataDir, 'files')

async function openStore(
  config: Config,
  storage: Config['storage'],
  { db, settings, secrets, now }: StoreParts,
): Promise<ObjectStore> {
  if (storage.kind === 'inline') return createInlineObjectStore(db)
  const { urlTtlSeconds } = settings
  if (storage.kind === 's3') return createS3ObjectStore({ ...storage, urlTtlSeconds, now })
  return createDiskObjectStore({
    folder: filesOf(config),
    signUrl: (key) => {
      const expires = Math.floor(now().getTime() / 1000) + urlTtlSeconds
      const query = signPath(secrets.urlSigningKeys[0], { path: `/files/${key}`, expires })
      return {
        url: `${settings.publicUrl}/files/${key}?${query}`,
        expiresAt: new Date(expires * 1000),
      }
    },
  })
}

/** Dropping a secret that peppers keys would end them without a word. */
async function refuseUnreadableKeys(deps: Pick<Deps, 'db' | 'secrets'>): Promise<void> {
  const count = await keys.countUnreadable(deps)
  if (count === 0) return
  throw new BootError(
    `${count} active API keys were made under a secret that is no longer configured. ` +
      'Put it back into JWT_SECRET or API_KEY_PEPPER, or, if it is lost, revoke these keys with: ' +
      'nanobanana-server keys revoke-unreadable',
  )
}

function recoverRegularly(
  deps: Pick<Deps, 'db' | 'queue' | 'leases' | 'log' | 'metrics'>,
): NodeJS.Timeout {
  const recover = () =>
    recoverAbandoned(deps, { all: false }).catch((error: unknown) =>
      deps.log.error({ err: error }, 'recovery of abandoned generations failed'),
    )
  return setInterval(recover, RECOVERY_INTERVAL_MS).unref()
}

/** Three times a lease: one lost statement does not end it. */
function renewRegularly(deps: Pick<Deps, 'leaseDb' | 'leases' | 'log'>): NodeJS.Timeout {
  const renewAll = () =>
    renew(deps).catch((error: unknown) =>
      deps.log.error({ err: error }, 'the leases of running generations were not renewed'),
    )
  return setInterval(renewAll, (deps.leases.seconds * 1000) / 3).unref()
}
