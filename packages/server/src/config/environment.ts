import * as f from './fields.ts'

const POSTGRES = ['postgres:', 'postgresql:'] as const
const REDIS = ['redis:', 'rediss:'] as const

const DAY_SECONDS = 86_400
const MEBIBYTE = 2 ** 20

/** Every name the service reads, with its bound and default. */
export const FIELDS = {
  HOST: f.ipAddress().default('127.0.0.1'),
  PORT: f.integer(0, 65_535).default(3000),
  PUBLIC_URL: f.httpUrl().optional(),
  TRUST_PROXY: f.cidrList().default([]),
  CORS_ORIGINS: f.originList().default([]),
  METRICS_PORT: f.integer(0, 65_535).optional(),
  DOCS: f.flag().default(true),
  DRAIN_DELAY: f.milliseconds(0, 300).default(5000),
  DRAIN_TIMEOUT: f.milliseconds(0, 3600).default(300_000),
  LOG_LEVEL: f
    .oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info'),

  DATA_DIR: f.path().default('.nanobanana'),
  DATABASE_URL: f.connectionUrl(POSTGRES).optional(),
  DATABASE_DIRECT_URL: f.connectionUrl(POSTGRES).optional(),
  REDIS_URL: f.connectionUrl(REDIS).optional(),

  JWT_SECRET: f.secretList().optional(),
  API_KEY_PEPPER: f.secretList().optional(),
  REGISTRATION: f.oneOf(['open', 'closed', 'token']).default('open'),
  REGISTRATION_TOKEN: f.credential(16, 256).optional(),
  PASSWORD_MIN_LENGTH: f.integer(8, 64).default(8),
  BCRYPT_COST: f.integer(10, 15).default(12),

  GEMINI_API_KEY: f.credential(1).optional(),
  GOOGLE_API_KEY: f.credential(1).optional(),
  GEMINI_BASE_URL: f.httpUrl().optional(),
  GEMINI_API_VERSION: f
    .word({ pattern: /^[a-z0-9]{1,20}$/, hint: 'must be a version like v1 or v1beta' })
    .optional(),
  DEFAULT_MODEL: f.word({ max: 200 }).optional(),
  MODELS_FILE: f.path().optional(),
  OPENAI_MODEL_MAP: f.nameMap().optional(),
  UPSTREAM_ATTEMPT_TIMEOUT: f.milliseconds(1, 3600).default(180_000),
  UPSTREAM_TIMEOUT: f.milliseconds(1, 3600).default(290_000),

  STORAGE: f.oneOf(['s3', 'disk', 'inline']).optional(),
  S3_ENDPOINT: f.httpUrl().optional(),
  S3_BUCKET: f.word({ max: 255 }).optional(),
  S3_REGION: f.word({ max: 64 }).optional(),
  S3_ACCESS_KEY_ID: f.credential(1).optional(),
  S3_SECRET_ACCESS_KEY: f.credential(1).optional(),
  S3_PUBLIC_URL: f.httpUrl().optional(),
  R2_ACCOUNT_ID: f
    .word({ pattern: /^[0-9a-z]{1,64}$/, hint: 'must be the account id, digits and small letters' })
    .optional(),
  R2_BUCKET: f.word({ max: 255 }).optional(),
  R2_ACCESS_KEY_ID: f.credential(1).optional(),
  R2_SECRET_ACCESS_KEY: f.credential(1).optional(),
  R2_PUBLIC_URL: f.httpUrl().optional(),
  URL_TTL: f.seconds(1, 7 * DAY_SECONDS).default(3600),
  INLINE_RETENTION: f.seconds(60, 366 * DAY_SECONDS).default(DAY_SECONDS),
  MAX_UPLOAD_BYTES: f.bytes(1024, 75e6).default(32 * MEBIBYTE),
  MAX_STORED_BYTES_PER_ACCOUNT: f.bytes(1, 1e15).optional(),
  SPOOL_MAX_BYTES: f.bytes(0, 2 ** 40).default(1024 * MEBIBYTE),

  SYNC_TIMEOUT: f.milliseconds(1, 3600).default(90_000),
  WORKERS: f.integer(0, 256).default(4),
  QUEUE_MAX: f.integer(1, 1_000_000).default(1000),
  QUEUE_MAX_PER_ACCOUNT: f.integer(1, 1_000_000).default(100),
  LEASE_SECONDS: f.milliseconds(2, 3600).default(30_000),

  RATE_LIMIT_RPM: f.integer(1, 1_000_000).default(60),
  RATE_LIMIT_CONCURRENCY: f.integer(1, 10_000).default(8),
  RATE_LIMIT_IP_RPM: f.integer(1, 1_000_000).default(300),
  RATE_LIMIT_ACCOUNT_RPM: f.integer(1, 1_000_000).default(300),
  RATE_LIMIT_LOGIN_PER_MINUTE: f.integer(1, 1_000_000).default(20),
  RATE_LIMIT_REGISTER_PER_HOUR: f.integer(1, 1_000_000).default(5),
  RATE_LIMIT_STORE: f.oneOf(['auto', 'memory', 'postgres', 'redis']).default('auto'),
  DEFAULT_MONTHLY_LIMIT_USD: f.usdMicros(1_000_000).optional(),

  WEBHOOK_ALLOW_PRIVATE: f.flag().default(false),
} as const

export type Name = keyof typeof FIELDS
export type Values = { readonly [K in Name]: (typeof FIELDS)[K]['_zod']['output'] }

export const NAMES = Object.keys(FIELDS) as readonly Name[]

/** Names whose value is never shown, and which a file may hold (`NAME_FILE`). */
export const SECRET_NAMES: readonly Name[] = [
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'REDIS_URL',
  'JWT_SECRET',
  'API_KEY_PEPPER',
  'REGISTRATION_TOKEN',
  'GEMINI_API_KEY',
  'GOOGLE_API_KEY',
  'S3_ACCESS_KEY_ID',
  'S3_SECRET_ACCESS_KEY',
  'R2_ACCESS_KEY_ID',
  'R2_SECRET_ACCESS_KEY',
]
