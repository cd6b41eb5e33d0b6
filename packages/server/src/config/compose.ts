import { inspect } from 'node:util'
import type { Values } from './environment.ts'
import type { Storage } from './storage.ts'
import type { Config } from './types.ts'

/** Groups the parsed values. */
export function compose(
  v: Values,
  { storage, modelsText }: { storage: Storage; modelsText: string | undefined },
  threadPoolSize: number,
): Omit<Config, 's3'> {
  return {
    server: {
      host: v.HOST,
      port: v.PORT,
      publicUrl: v.PUBLIC_URL,
      trustProxy: v.TRUST_PROXY,
      corsOrigins: v.CORS_ORIGINS,
      metricsPort: v.METRICS_PORT,
      docs: v.DOCS,
      drainDelayMs: v.DRAIN_DELAY,
      drainTimeoutMs: v.DRAIN_TIMEOUT,
      threadPoolSize,
    },
    dataDir: v.DATA_DIR,
    database: { url: v.DATABASE_URL, directUrl: v.DATABASE_DIRECT_URL ?? v.DATABASE_URL },
    redis: { url: v.REDIS_URL },
    auth: {
      jwtSecrets: v.JWT_SECRET,
      apiKeyPeppers: v.API_KEY_PEPPER ?? [],
      registration: v.REGISTRATION,
      registrationToken: v.REGISTRATION_TOKEN,
      passwordMinLength: v.PASSWORD_MIN_LENGTH,
      bcryptCost: v.BCRYPT_COST,
    },
    provider: {
      geminiApiKey: v.GEMINI_API_KEY ?? v.GOOGLE_API_KEY,
      geminiBaseUrl: v.GEMINI_BASE_URL,
      geminiApiVersion: v.GEMINI_API_VERSION,
      defaultModel: v.DEFAULT_MODEL,
      modelsText,
      openaiModels: v.OPENAI_MODEL_MAP ?? {},
      attemptTimeoutMs: Math.min(v.UPSTREAM_ATTEMPT_TIMEOUT, v.UPSTREAM_TIMEOUT),
      totalTimeoutMs: v.UPSTREAM_TIMEOUT,
    },
    storage,
    images: {
      urlTtlSeconds: v.URL_TTL,
      inlineRetentionSeconds: v.INLINE_RETENTION,
      maxUploadBytes: v.MAX_UPLOAD_BYTES,
      maxStoredBytes: v.MAX_STORED_BYTES_PER_ACCOUNT,
      spoolMaxBytes: v.SPOOL_MAX_BYTES,
    },
    jobs: {
      syncTimeoutMs: v.SYNC_TIMEOUT,
      workers: v.WORKERS,
      queueMax: v.QUEUE_MAX,
      queueMaxPerAccount: v.QUEUE_MAX_PER_ACCOUNT,
      leaseMs: v.LEASE_SECONDS,
    },
    limits: {
      keyRequestsPerMinute: v.RATE_LIMIT_RPM,
      keyConcurrency: v.RATE_LIMIT_CONCURRENCY,
      ipRequestsPerMinute: v.RATE_LIMIT_IP_RPM,
      accountRequestsPerMinute: v.RATE_LIMIT_ACCOUNT_RPM,
      loginsPerMinute: v.RATE_LIMIT_LOGIN_PER_MINUTE,
      registrationsPerHour: v.RATE_LIMIT_REGISTER_PER_HOUR,
      store: rateLimitStore(v),
      monthlyLimitMicros: v.DEFAULT_MONTHLY_LIMIT_USD,
    },
    webhooks: { allowPrivate: v.WEBHOOK_ALLOW_PRIVATE },
    log: { level: v.LOG_LEVEL },
  }
}

function rateLimitStore(v: Values): Config['limits']['store'] {
  if (v.RATE_LIMIT_STORE !== 'auto') return v.RATE_LIMIT_STORE
  if (v.REDIS_URL !== undefined) return 'redis'
  return v.DATABASE_URL === undefined ? 'memory' : 'postgres'
}

/** Values that no printed form of the config shows. */
const HIDDEN = new Set([
  'url',
  'directUrl',
  'jwtSecrets',
  'apiKeyPeppers',
  'registrationToken',
  'geminiApiKey',
  'accessKeyId',
  'secretAccessKey',
])

/** Freezes it through and through, and hides the secrets from `JSON.stringify` and `inspect`. */
export function seal<T extends object>(value: T): T {
  // One part may stand under two names.
  if (Object.isFrozen(value)) return value
  for (const child of Object.values(value))
    if (typeof child === 'object' && child !== null) seal(child)
  if (!Array.isArray(value)) {
    const hide = () => hidden(value)
    Object.defineProperty(value, 'toJSON', { value: hide })
    Object.defineProperty(value, inspect.custom, { value: hide })
  }
  return Object.freeze(value)
}

const hidden = (value: object) =>
  Object.fromEntries(
    Object.entries(value).map(([name, child]: [string, unknown]) => [
      name,
      HIDDEN.has(name) && child !== undefined ? '[secret]' : child,
    ]),
  )
