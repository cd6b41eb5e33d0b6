import type { Model } from '@nanobanana/shared'
import type { Db } from '../db/client.ts'
import type { ImageCodec } from '../ports/image-codec.ts'
import type { ImageProvider } from '../ports/image-provider.ts'
import type { CurrentObjectStore } from '../ports/object-store.ts'
import type { RateLimiter } from '../ports/rate-limiter.ts'
import type { Background } from './background.ts'
import type { Log } from './log.ts'
import type { Room } from './room.ts'
import type { Secrets } from './secrets.ts'

/** What the rules need to know of the configuration. */
export interface Settings {
  /** Address of the service without a trailing slash; may have a path. */
  readonly publicUrl: string
  readonly registration: { readonly mode: 'open' | 'closed' | 'token'; readonly token?: string }
  readonly passwordMinLength: number
  readonly defaultModel: string
  readonly urlTtlSeconds: number
  readonly inlineRetentionSeconds: number
  /** Decoded bytes of all images that one request may bring. */
  readonly maxUploadBytes: number
  readonly upstreamTimeoutMs: number
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

/** The generations that this process runs, and the name under which it holds them. */
export interface Leases {
  /** UUID of this start of the process. */
  readonly owner: string
  /** Seconds after which a process that renews no lease is taken to have died. */
  readonly seconds: number
  /** What runs now: ids, each with its attempt. */
  readonly held: Map<string, number>
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
  /** Connections of their own, for what must not wait behind requests: leases and ends. */
  readonly urgentDb: Db
  readonly providers: { readonly live?: ImageProvider; readonly test: ImageProvider }
  readonly objectStore: CurrentObjectStore
  readonly rateLimiter: RateLimiter
  readonly codec: ImageCodec
  /** For the images of requests, from their upload to the end of their generation. */
  readonly room: Room
  readonly passwords: Passwords
  readonly catalogue: Catalogue
  readonly leases: Leases
  readonly settings: Settings
  readonly secrets: Secrets
  readonly background: Background
  readonly log: Log
  /** For durations, tokens and logs; stored times are the database's. */
  readonly now: () => Date
}
