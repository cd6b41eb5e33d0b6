import { z } from 'zod'
import { cursor, limit, page } from './pagination.ts'
import { codePoints, text, timestamp, typeId } from './text.ts'

export const KeyId = typeId('key', 'key_01jd5xk3f8e2r9v7m6q4t0w1yz')

export const Mode = z.enum(['live', 'test']).meta({
  id: 'Mode',
  description: '`live` calls the provider; `test` makes free sandbox pictures.',
})
export type Mode = z.infer<typeof Mode>

export const Scope = z.enum(['generate', 'read', 'usage']).meta({
  id: 'Scope',
  description: '`generate` makes images, `read` reads generations and images, `usage` reads usage.',
})
export type Scope = z.infer<typeof Scope>

export const KeyStatus = z
  .enum(['active', 'disabled', 'expired', 'revoked'])
  .meta({ id: 'KeyStatus' })
export type KeyStatus = z.infer<typeof KeyStatus>

const name = text()
  .refine((value) => value.trim() !== '' && codePoints(value) <= 64, {
    error: 'must have 1 to 64 characters',
  })
  .describe('Your own name for the key, 1 to 64 characters.')
const scopes = z
  .array(Scope)
  .min(1)
  .max(3)
  .refine((list) => new Set(list).size === list.length, { error: 'must not repeat a scope' })
const YEAR_10000 = 253_402_300_800_000
const expiresAt = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time such as 2027-01-31T00:00:00Z' })
  // Its offset can take a time out of the years that RFC 3339 can write.
  .refine((time) => Date.parse(time) < YEAR_10000, { error: 'must lie before the year 10000' })
  .describe('RFC 3339 time after which the key is refused; must lie in the future.')
// 1e6 dollars in micro-dollars stays far below 2^53.
const monthlyLimitUsd = z
  .number()
  .min(0)
  .max(1_000_000)
  .describe('Spending limit per UTC month in US dollars, 0 to 1000000; null means none.')
const requestsPerMinute = z
  .int()
  .min(1)
  .max(100_000)
  .describe("Requests per minute; null means the server's default.")
const maxConcurrency = z
  .int()
  .min(1)
  .max(1000)
  .describe("Generations in flight at once; null means the server's default.")

export const ApiKey = z
  .object({
    id: KeyId,
    name: z.string(),
    prefix: z.string().describe('First 12 characters of the secret and `...`, to recognise it by.'),
    mode: Mode,
    scopes: z.array(Scope),
    status: KeyStatus,
    created_at: timestamp(),
    last_used_at: timestamp().nullable().describe('Accurate to a minute.'),
    expires_at: timestamp().nullable(),
    monthly_limit_usd: z.number().nullable(),
    spent_this_month_usd: z.number(),
    requests_per_minute: z.int().nullable(),
    max_concurrency: z.int().nullable(),
  })
  .meta({ id: 'ApiKey', description: 'An API key, without its secret.' })
export type ApiKey = z.infer<typeof ApiKey>

export const ApiKeyWithSecret = ApiKey.extend({
  key: z.string().describe('The secret. It is shown in this answer only.'),
}).meta({ id: 'ApiKeyWithSecret', description: 'An API key with its secret.' })
export type ApiKeyWithSecret = z.infer<typeof ApiKeyWithSecret>

export const ApiKeyPage = page(ApiKey).meta({ id: 'ApiKeyPage' })

export const CreateKeyInput = z
  .strictObject({
    name,
    mode: Mode.default('live'),
    scopes: scopes.default(['generate', 'read']).describe('Default: `generate` and `read`.'),
    expires_at: expiresAt.nullish(),
    monthly_limit_usd: monthlyLimitUsd.nullish(),
    requests_per_minute: requestsPerMinute.nullish(),
    max_concurrency: maxConcurrency.nullish(),
  })
  .meta({ id: 'CreateKeyInput', examples: [{ name: 'first', mode: 'test' }] })
export type CreateKeyInput = z.infer<typeof CreateKeyInput>

export const ListKeysInput = z
  .strictObject({ limit: limit(), cursor: cursor() })
  .meta({ id: 'ListKeysInput' })
export type ListKeysInput = z.infer<typeof ListKeysInput>

export const KeyIdInput = z.strictObject({ id: KeyId }).meta({ id: 'KeyIdInput' })

export const UpdateKeyInput = z
  .strictObject({
    id: KeyId,
    name: name.optional(),
    disabled: z
      .boolean()
      .optional()
      .describe('A disabled key is refused until it is enabled again.'),
    expires_at: expiresAt.nullish(),
    monthly_limit_usd: monthlyLimitUsd.nullish(),
    requests_per_minute: requestsPerMinute.nullish(),
    max_concurrency: maxConcurrency.nullish(),
  })
  .meta({ id: 'UpdateKeyInput' })
export type UpdateKeyInput = z.infer<typeof UpdateKeyInput>

export const RotateKeyInput = z
  .strictObject({
    id: KeyId,
    grace_seconds: z
      .int()
      .min(0)
      .max(604_800)
      .default(0)
      .describe('Seconds for which the old secret still works, 0 to 604800. Default 0.'),
  })
  .meta({ id: 'RotateKeyInput' })
export type RotateKeyInput = z.infer<typeof RotateKeyInput>
