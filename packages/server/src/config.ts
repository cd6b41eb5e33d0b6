import { ConfigError } from './config/boot-error.ts'
import { compose, seal } from './config/compose.ts'
import type { Name, Values } from './config/environment.ts'
import { readModelsFile, type ReadModels } from './config/models-file.ts'
import { readEnvironment, type Env, type Reading } from './config/read.ts'
import { resolveStorage, type StorageFallback } from './config/storage.ts'
import type { Config } from './config/types.ts'

export { BootError, ConfigError } from './config/boot-error.ts'
export type { S3Storage, Storage, StorageFallback } from './config/storage.ts'
export type { Config, LogLevel } from './config/types.ts'
export { bootWarnings } from './config/warnings.ts'

export interface LoadConfigOptions {
  /** Where images go when neither STORAGE nor credentials say it; default `inline`. */
  storageFallback?: StorageFallback
  /** Reads what MODELS_FILE holds; unset: it is not looked at, and DEFAULT_MODEL may be any. */
  readModels?: ReadModels
  /** Values of names that the environment leaves out. */
  defaults?: Env
}

/** Checks the environment; throws one `ConfigError` with every fault. */
export function loadConfig(env: Env = process.env, options: LoadConfigOptions = {}): Config {
  const reading = readEnvironment({ ...options.defaults, ...env })
  const { storage, s3 } = resolveStorage(reading, options.storageFallback ?? 'inline')
  checkTogether(reading)
  const modelsText = readModelsFile(reading, options.readModels)
  if (reading.problems.length > 0) throw new ConfigError(reading.problems)
  // Without a problem every name was parsed.
  const config = compose(reading.values as Values, { storage, modelsText }, threadPoolSize(env))
  return seal({ ...config, s3 })
}

function checkTogether({ values, problems, isSet }: Reading): void {
  const needs = (applies: boolean, name: Name, reason: string) => {
    if (applies && !isSet(name)) problems.push(`${name} is required ${reason}`)
  }
  needs(isSet('DATABASE_URL'), 'JWT_SECRET', 'when DATABASE_URL is set (openssl rand -hex 32)')
  needs(isSet('DATABASE_DIRECT_URL'), 'DATABASE_URL', 'when DATABASE_DIRECT_URL is set')
  needs(values.REGISTRATION === 'token', 'REGISTRATION_TOKEN', 'when REGISTRATION=token')
  needs(values.RATE_LIMIT_STORE === 'redis', 'REDIS_URL', 'when RATE_LIMIT_STORE=redis')
  const { GEMINI_API_KEY: gemini, GOOGLE_API_KEY: google } = values
  if (gemini !== undefined && google !== undefined && gemini !== google)
    problems.push('GEMINI_API_KEY and GOOGLE_API_KEY are both set and differ; keep one')
  const { METRICS_PORT: metricsPort, PORT: port } = values
  if (metricsPort !== undefined && metricsPort !== 0 && metricsPort === port)
    problems.push('METRICS_PORT and PORT are the same')
}

/** libuv's own variable, so it is read as libuv reads it. */
function threadPoolSize(env: Env): number {
  const size = Number.parseInt(env.UV_THREADPOOL_SIZE ?? '4', 10)
  return Math.min(Math.max(Number.isNaN(size) ? 1 : size, 1), 1024)
}
