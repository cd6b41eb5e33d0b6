import type { Model } from '@nanobanana/shared'
import type { Db } from '../db/client.ts'
import type { ImageCodec } from '../ports/image-codec.ts'
import type { ImageProvider } from '../ports/image-provider.ts'
import type { Notifier } from '../ports/notifier.ts'
import type { CurrentObjectStore } from '../ports/object-store.ts'
import type { Queue } from '../ports/queue.ts'
import type { RateLimiter } from '../ports/rate-limiter.ts'
import type { WebhookSender } from '../ports/webhook-sender.ts'
import type { Background } from './background.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Room } from './room.ts'
import type { Secrets } from './secrets.ts'
import type { Crowding } from './crowding.ts'
import type { Slots } from './slots.ts'

/** What the rules need to know of the configuration. */
export interface Settings {
  /** Address of the service without a trailing slash; may have a path. */
  readonly publicUrl: string
  readonly registration: { readonly mode: 'open' | 'closed' | 'token'; readonly token?: string }
  readonly passwordMinLength: number
  readonly defaultModel: string
  /** Names on the OpenAI-compatible routes, with the model that each stands for, or `default`. */
  readonly openaiModels: Readonly<Record<string, string>>
  readonly urlTtlSeconds: number
  readonly inlineRetentionSeconds: number
  /** Decoded bytes of all images that one request may bring. */
  readonly maxUploadBytes: number
  /** Bytes of images that an account may have stored; null: any. */
  readonly maxStoredBytes: number | null
  /** Of all pictures that wait for their store; 0: none may. */
  readonly spoolMaxBytes: number
  readonly upstreamTimeoutMs: number
  /** How long a request that names no time waits for its generation. */
  readonly syncTimeoutMs: number
  /** Generations that may wait at once, of all accounts and of one. */
  readonly queueMax: number
  readonly queueMaxPerAccount: number
  readonly defaultMonthlyLimitMicros: number | null
  /** Of a key without figures of its own. */
  readonly keyRequestsPerMinute: number
  readonly keyConcurrency: number
  readonly accountRequestsPerMinute: number
  readonly ipRequestsPerMinute: number
  readonly registerPerHour: number
  readonly loginPerMinute: number
}

/** Hashes and compares passwords, a bounded number at once; `overloaded` beyond that. */
export interface Passwords {
  hash(password: string): Promise<string>
  /** One compare at the current cost, whatever `hash` is; null stands for an account that is not there. */
  verify(password: string, hash: string | null): Promise<{ ok: boolean; needsRehash: boolean }>
}

/** The generations that this process runs. */
export interface Leases {
  /** Seconds after which a process that renews no lease is taken to have died. */
  readonly seconds: number
  /** What runs now, by the generation's id. */
  readonly held: Map<string, HeldRun>
}

/** One run of a generation. */
export interface HeldRun {
  /** UUID of the run: another run of the same generation, here too, has another. */
  readonly owner: string
  /** Ends the calls to the provider, of a generation that was canceled. */
  readonly canceled: AbortController
}

export interface Catalogue {
  readonly models: readonly Model[]
  /** Every id and alias. */
  readonly names: readonly string[]
  /** By id or alias. */
  find(name: string): Model | undefined
}

/** Everything a service may ask for; each takes only what it needs, as `Pick<Deps, …>`. */
export interface Deps {
  readonly db: Db
  /** Connections of their own, for what must not wait behind requests: ends of generations. */
  readonly urgentDb: Db
  /** And one for leases, which must not wait behind ends either. */
  readonly leaseDb: Db
  readonly providers: { readonly live?: ImageProvider; readonly test: ImageProvider }
  readonly objectStore: CurrentObjectStore
  readonly rateLimiter: RateLimiter
  readonly codec: ImageCodec
  readonly webhookSender: WebhookSender
  /** For the images of requests, from their upload to the end of their generation. */
  readonly room: Room
  readonly passwords: Passwords
  readonly catalogue: Catalogue
  readonly leases: Leases
  readonly queue: Queue
  readonly notifier: Notifier
  /** For generations that run here while their callers wait, beside those that workers take. */
  readonly slots: Slots
  readonly crowding: Crowding
  readonly settings: Settings
  readonly secrets: Secrets
  readonly background: Background
  readonly log: Log
  readonly metrics: Metrics
  /** For durations, tokens and logs; stored times are the database's. */
  readonly now: () => Date
}
