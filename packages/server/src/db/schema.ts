import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { KeyStatus, Mode, Scope, GenerationStatus, Warning } from '@nanobanana/shared'

/** Set by the database's clock unless a statement says otherwise. */
type CreatedAt = ColumnType<Date, Date | undefined, never>

export interface UsersTable {
  id: string
  /** Normalised address; null once the account is deleted (the row stays as a tombstone). */
  email: string | null
  email_display: string | null
  password_hash: string | null
  name: string | null
  /** A JWT is valid only while its `ver` equals this. */
  token_version: Generated<number>
  monthly_limit_micros: number | null
  disabled_at: Date | null
  deleted_at: Date | null
  created_at: CreatedAt
}

export interface RevokedTokensTable {
  jti: string
  user_id: string
  expires_at: Date
}

/** Password logins of an address since the last that succeeded; also of addresses nobody registered. */
export interface LoginAttemptsTable {
  /** SHA-256 of the normalised address. */
  address: Uint8Array
  /** Counted before the password is compared, so that parallel guesses cannot slip past. */
  failures: number
  /** No password is compared before this time. */
  retry_at: Date | null
}

export interface ApiKeysTable {
  id: string
  user_id: string
  name: string
  prefix: string
  mode: Mode
  scopes: Scope[]
  status: ColumnType<StoredKeyStatus, StoredKeyStatus | undefined, StoredKeyStatus>
  expires_at: Date | null
  last_used_at: Date | null
  monthly_limit_micros: number | null
  requests_per_minute: number | null
  max_concurrency: number | null
  created_at: CreatedAt
}
/** `expired` is not stored: it follows from `expires_at`. */
export type StoredKeyStatus = Exclude<KeyStatus, 'expired'>

export interface ApiKeySecretsTable {
  /** HMAC-SHA-256 of the whole key under a pepper. */
  digest: Uint8Array
  key_id: string
  /** Which pepper made the digest. */
  pepper_id: string
  /** Null: no end of its own. Set on the older secret of a rotated key. */
  expires_at: Date | null
  created_at: CreatedAt
}

export interface StoredError {
  type: string
  code: string
  message: string
}

export interface GenerationsTable {
  id: string
  user_id: string
  /** Null: made with an access token. */
  key_id: string | null
  mode: Mode
  status: GenerationStatus
  model: string
  prompt: string
  aspect_ratio: string | null
  size: string
  n: number
  input_images: Generated<number>
  output_format: string | null
  output_quality: number | null
  seed: number | null
  thinking_level: string | null
  parent_id: string | null
  text: string | null
  warnings: JSONColumnType<Warning[], string | undefined, string>
  error: JSONColumnType<StoredError | null, string | null | undefined, string | null>
  metadata: JSONColumnType<Record<string, string>, string | undefined, string>
  end_user: string | null
  input_tokens: Generated<number>
  output_tokens: Generated<number>
  /** What the account is charged: 0 unless it succeeded in live mode. */
  cost_micros: Generated<number>
  /** What the provider has or may have billed us, for attempts that failed too. */
  upstream_cost_micros: Generated<number>
  /** While it runs: the time after which its process is taken to have died. */
  lease_expires_at: Date | null
  created_at: CreatedAt
  completed_at: Date | null
}

export interface ImagesTable {
  id: string
  generation_id: string
  user_id: string
  position: number
  storage: 's3' | 'disk' | 'inline'
  object_key: string
  mime_type: 'image/png' | 'image/jpeg' | 'image/webp'
  width: number
  height: number
  bytes: number
  sha256: string
  /** End of an inline image's retention. */
  expires_at: Date | null
  created_at: CreatedAt
}

export interface UsageTable {
  id: string
  user_id: string
  key_id: string | null
  generation_id: string
  mode: Mode
  model: string
  /** UTC month the charge belongs to, YYYY-MM. */
  month: string
  images: number
  input_tokens: number
  text_output_tokens: number
  image_output_tokens: number
  cost_micros: number
  /** Day the prices were read, from the catalogue. */
  prices_as_of: string
  created_at: CreatedAt
}

export interface InlineObjectsTable {
  key: string
  content_type: string
  bytes: Uint8Array
  created_at: CreatedAt
}

export interface Database {
  users: UsersTable
  revoked_tokens: RevokedTokensTable
  login_attempts: LoginAttemptsTable
  api_keys: ApiKeysTable
  api_key_secrets: ApiKeySecretsTable
  generations: GenerationsTable
  images: ImagesTable
  usage: UsageTable
  inline_objects: InlineObjectsTable
}
