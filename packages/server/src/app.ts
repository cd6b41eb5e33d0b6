import { readModels } from '@nanobanana/shared'
import type { Logger } from 'pino'
import { createSharpCodec } from './adapters/image-codec/sharp.ts'
import { openNotifier } from './adapters/notifier/database.ts'
import { openQueue } from './adapters/queue/pg-boss.ts'
import { withBursts } from './adapters/rate-limiter/burst.ts'
import { createHttpWebhookSender } from './adapters/webhook-sender/http.ts'
import {
  dbLogOf,
  LEASE_CONNECTIONS,
  migrateSchema,
  open,
  openBeside,
  URGENT_CONNECTIONS,
  watchConnections,
} from './app/database.ts'
import { openLimiter } from './app/limiter.ts'
import { providersOf } from './app/providers.ts'
import { recoverRegularly, renewRegularly } from './app/regularly.ts'
import { settingsOf } from './app/settings.ts'
import { openStores } from './app/stores.ts'
import { watchQueue } from './app/watching.ts'
import {
  BootError,
  bootWarnings,
  type Config,
  ConfigError,
  loadConfig,
  type LoadConfigOptions,
} from './config.ts'
import type { DbHandle } from './db/client.ts'
import { bcryptSlots, createPasswordHasher } from './features/auth/password.ts'
import { heedCancellations } from './features/generations/canceling.ts'
import { createCatalogue } from './features/generations/models.ts'
import { recoverAbandoned } from './features/generations/recovering.ts'
import * as keys from './features/keys/keys.service.ts'
import { startSweeper } from './features/sweeping/sweeper.ts'
import * as webhooks from './features/webhooks/webhooks.service.ts'
import { createBackground } from './kernel/background.ts'
import { Crowding } from './kernel/crowding.ts'
import type { Deps, HeldRun } from './kernel/deps.ts'
import { createLog } from './kernel/log.ts'
import { measureLimiter, measureStore } from './kernel/measure.ts'
import { createMetrics } from './kernel/metrics.ts'
import { createRoom } from './kernel/room.ts'
import { loadSecrets } from './kernel/secrets.ts'
import { Slots } from './kernel/slots.ts'
import type { CurrentObjectStore, ObjectStore } from './ports/object-store.ts'
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

const passwordsOf = (config: Config, cost = config.auth.bcryptCost): Deps['passwords'] =>
  createPasswordHasher({ cost, maxInFlight: bcryptSlots(config.server.threadPoolSize) })

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
