import type { Values } from './environment.ts'
import type { S3Storage, Storage } from './storage.ts'

export type LogLevel = Values['LOG_LEVEL']

/** The checked environment, frozen. Printing it shows no secret. */
export interface Config {
  readonly server: {
    /** An IPv4 or IPv6 address. */
    readonly host: string
    /** 0 lets the system choose. */
    readonly port: number
    /** Without a slash at its end; its path is the prefix. Unset: derived from the listening port. */
    readonly publicUrl: string | undefined
    readonly trustProxy: readonly string[]
    readonly corsOrigins: readonly string[]
    readonly metricsPort: number | undefined
    readonly docs: boolean
    readonly drainDelayMs: number
    readonly drainTimeoutMs: number
    /** Size of libuv's pool, which bcrypt, files, sharp and DNS share. */
    readonly threadPoolSize: number
  }
  /** Holds the embedded database, the disk store and generated secrets. */
  readonly dataDir: string
  readonly database: {
    /** Unset: embedded PGlite in `dataDir`. */
    readonly url: string | undefined
    /** For LISTEN and migrations behind a transaction pooler; `url` unless set. */
    readonly directUrl: string | undefined
  }
  readonly redis: { readonly url: string | undefined }
  readonly auth: {
    /** Newest first. Unset in embedded mode: see kernel/secrets. */
    readonly jwtSecrets: readonly string[] | undefined
    readonly apiKeyPeppers: readonly string[]
    readonly registration: Values['REGISTRATION']
    /** Set whenever `registration` is `token`. */
    readonly registrationToken: string | undefined
    /** Code points. */
    readonly passwordMinLength: number
    readonly bcryptCost: number
  }
  readonly provider: {
    /** Unset: live keys are answered 503. */
    readonly geminiApiKey: string | undefined
    readonly geminiBaseUrl: string | undefined
    readonly geminiApiVersion: string | undefined
    readonly defaultModel: string | undefined
    /** What MODELS_FILE holds. */
    readonly modelsText: string | undefined
    /** Names on the OpenAI-compatible routes, with the model that each stands for, or `default`. */
    readonly openaiModels: Readonly<Record<string, string>>
    readonly attemptTimeoutMs: number
    readonly totalTimeoutMs: number
  }
  readonly storage: Storage
  /** The bucket, also where STORAGE names another store: pictures made before may lie in it. */
  readonly s3: S3Storage | undefined
  readonly images: {
    readonly urlTtlSeconds: number
    readonly inlineRetentionSeconds: number
    readonly maxUploadBytes: number
    /** Per account; unset: none. */
    readonly maxStoredBytes: number | undefined
    /** Of pictures that wait for their store, in the database; 0: none may. */
    readonly spoolMaxBytes: number
  }
  readonly jobs: {
    readonly syncTimeoutMs: number
    /** 0: none in this process. */
    readonly workers: number
    readonly queueMax: number
    readonly queueMaxPerAccount: number
    readonly leaseMs: number
  }
  readonly limits: {
    readonly keyRequestsPerMinute: number
    readonly keyConcurrency: number
    readonly ipRequestsPerMinute: number
    readonly accountRequestsPerMinute: number
    readonly loginsPerMinute: number
    readonly registrationsPerHour: number
    readonly store: 'memory' | 'postgres' | 'redis'
    /** Per account and UTC month; unset: none. */
    readonly monthlyLimitMicros: number | undefined
  }
  readonly webhooks: { readonly allowPrivate: boolean }
  readonly log: { readonly level: LogLevel }
}
