import { DEFAULT_MODEL } from '@nanobanana/shared'
import type { Config } from '../config.ts'
import type { Settings } from '../kernel/deps.ts'

/** What the rules need to know of the configuration; `address` may become known later. */
export const settingsOf = (config: Config, address: { url: string }): Settings => ({
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
