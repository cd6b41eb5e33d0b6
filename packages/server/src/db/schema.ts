import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely'
import type {
  DeliveryError,
  DeliveryStatus,
  DeliveryType,
  GenerationStatus,
  KeyStatus,
  Mode,
  Model,
  Scope,
  Warning,
  WebhookDisabledReason,
  WebhookEvent,
} from '@nanobanana/shared'

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
  /** When the last was counted. */
  attempted_at: Generated<Date>
}

/** Calls that were counted in a window, by the rule that limits them. */
export interface RateLimitsTable {
  rule: string
  /** An address, an account or a key, as the rule counts them. */
  subject: string
  /** Refused calls too. */
  count: number
  /** End of the window. */
  expires_at: Date
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
  /** Set where a repeat would only buy again, whatever the code says. */
  final?: true
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
  /** Grows when an idempotent request runs a failed generation again. */
  attempt: Generated<number>
  /** What the running attempt has reserved. */
  reserved_micros: Generated<number>
  /** UTC day of the reservation, YYYY-MM-DD; its month is charged. */
  reserved_on: Generated<string>
  /** Whoever asked was told to come back: another process finishes it if its own dies. */
  detached: Generated<boolean>
  /** How often a process set it running. */
  runs: Generated<number>
  /** Its place in the queue, where the lowest goes first; null: it never waited. */
  queue_tag: number | null
  /** UUID of the run; every write of an end is fenced by it. */
  lease_owner: string | null
  /** While it runs: the time after which its process is taken to have died. */
  lease_expires_at: Date | null
  created_at: CreatedAt
  completed_at: Date | null
}

/** A copy of an image of the request, kept until the generation has ended. */
export interface InputImagesTable {
  generation_id: string
  position: number
  storage: 's3' | 'disk' | 'inline'
  object_key: string
  mime_type: 'image/png' | 'image/jpeg' | 'image/webp'
}

export type GenerationEventType =
  | 'queued'
  | 'running'
  | 'text'
  | 'image'
  | 'succeeded'
  | 'failed'
  | 'canceled'

/** What happened to a generation, for those who follow it. */
export interface GenerationEventsTable {
  generation_id: string
  /** 1, 2, 3, … of each generation. */
  sequence: number
  type: GenerationEventType
  /** Of an image. */
  position: number | null
  created_at: CreatedAt
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
  /** When its bytes stopped to count, since its retention was over. */
  freed_at: Date | null
  created_at: CreatedAt
}

/** Sum of an account's images that are not freed; triggers on `images` keep it. */
export interface StoredBytesTable {
  user_id: string
  bytes: number
}

/** The ledger: rows are added, never changed. */
export interface UsageTable {
  id: string
  kind: 'reserve' | 'settle' | 'release'
  user_id: string
  key_id: string | null
  generation_id: string
  attempt: number
  mode: Mode
  model: string
  /** UTC day of the reservation, YYYY-MM-DD. */
  day: string
  /** From the account's side: what is taken is negative, what is given back positive. */
  amount_micros: number
  images: Generated<number>
  input_tokens: Generated<number>
  text_output_tokens: Generated<number>
  image_output_tokens: Generated<number>
  /** Day the prices were read, from the catalogue; null where none was applied. */
  prices_as_of: string | null
  created_at: CreatedAt
}

/** What was reserved or settled in a UTC month, for the limits. */
export interface SpendingTable {
  /** An account or a key. */
  owner_id: string
  /** YYYY-MM. */
  month: string
  micros: number
}

/** Sums of what was settled, kept in the transaction that settles. */
export interface UsageDaysTable {
  user_id: string
  mode: Mode
  day: string
  key_id: string | null
  model: string
  requests: number
  images: number
  input_tokens: number
  output_tokens: number
  cost_micros: number
}

export interface IdempotencyKeysTable {
  user_id: string
  /** Id of a key, or `session`. */
  scope: string
  key: string
  /** SHA-256 of the request in canonical form. */
  fingerprint: Uint8Array
  generation_id: string
  /** Null until the generation has ended. */
  expires_at: Date | null
  created_at: CreatedAt
}

export interface InlineObjectsTable {
  key: string
  content_type: string
  bytes: Uint8Array
  /** When these bytes were put. */
  modified_at: ColumnType<Date, Date | undefined, Date>
}

export type AuditAction =
  | 'account.registered'
  | 'account.deleted'
  | 'account.disabled'
  | 'account.enabled'
  | 'account.unlocked'
  | 'account.limit_changed'
  | 'login.succeeded'
  | 'login.failed'
  | 'session.ended'
  | 'sessions.ended'
  | 'password.changed'
  | 'password.refused'
  | 'password.reset'
  | 'key.created'
  | 'key.updated'
  | 'key.rotated'
  | 'key.revoked'
  | 'key.refused'
  | 'webhook.created'
  | 'webhook.updated'
  | 'webhook.disabled'
  | 'webhook.deleted'
  | 'webhook.secret_rotated'

/** Who did what when: rows are added, and a trigger refuses everything else. */
export interface AuditTable {
  id: GeneratedAlways<number>
  action: AuditAction
  /** Null: no account is known. The row outlives it, and the key. */
  user_id: string | null
  key_id: string | null
  webhook_id: string | null
  detail: string | null
  /** Set where only one row a minute is kept. */
  minute: Date | null
  created_at: CreatedAt
}

/** One row, made with the table: by its id a store is told whose it is. */
export interface DatabaseIdentityTable {
  id: Generated<string>
}

/** Objects whose images were deleted, until their store has deleted them too. */
export interface DoomedObjectsTable {
  storage: 's3' | 'disk' | 'inline'
  object_key: string
  /** No process takes it before this time. */
  retry_at: Generated<Date>
}

export interface WebhooksTable {
  id: string
  user_id: string
  url: string
  events: WebhookEvent[]
  description: string | null
  disabled_at: Date | null
  disabled_reason: WebhookDisabledReason | null
  /** The first failed attempt since the last that succeeded. */
  failing_since: Date | null
  /** Since when it has been told of its events without a gap. */
  subscribed_at: ColumnType<Date, never, Date>
  /** Gone for its owner; the sweeper removes the row after its deliveries. */
  deleted_at: Date | null
  created_at: CreatedAt
}

export interface WebhookSecretsTable {
  id: string
  webhook_id: string
  /** See kernel/sealed.ts. */
  sealed: Uint8Array
  /** Null: the newest. */
  expires_at: Date | null
  created_at: CreatedAt
}

/** The outbox: a row for each event and endpoint, written as the event happens. */
export interface WebhookDeliveriesTable {
  id: string
  webhook_id: string
  /** Null for a test. */
  generation_id: string | null
  generation_attempt: number | null
  type: DeliveryType
  status: Generated<DeliveryStatus>
  /** Claims, each of which makes an attempt; grows only, so that it tells them apart. */
  attempts: Generated<number>
  /** Place in the schedule of retries. */
  step: Generated<number>
  next_attempt_at: Date | null
  lease_expires_at: Date | null
  ended_at: Date | null
  touched_at: ColumnType<Date, never, Date>
  created_at: CreatedAt
}

export interface WebhookAttemptsTable {
  delivery_id: string
  number: number
  message_id: string
  began_at: Date
  duration_ms: number
  status_code: number | null
  error: DeliveryError | null
}

interface StoredTokens {
  inputTokens: number
  textOutputTokens: number
  imageOutputTokens: number
}

/** What a generation came to whose pictures wait for their store. */
export interface StoredResult {
  text: string | null
  warnings: Warning[]
  usage: StoredTokens
  /** Beside it, what the provider may bill. */
  wasted: StoredTokens
  /** With the prices at which it was begun. */
  model: Model
}

/** A generation whose pictures are made, while its store does not take all of them. */
export interface SpooledGenerationsTable {
  generation_id: string
  result: JSONColumnType<StoredResult, string, never>
  tries: Generated<number>
  /** Null while a process is at it, under the generation's lease. */
  retry_at: Date | null
  created_at: CreatedAt
}

/** An image of such a generation, its row to be. */
export interface SpooledImagesTable {
  id: string
  generation_id: string
  position: number
  storage: 's3' | 'disk' | 'inline'
  object_key: string
  mime_type: 'image/png' | 'image/jpeg' | 'image/webp'
  width: number
  height: number
  bytes: number
  sha256: string
  /** The bytes; null: they rest in the store. */
  body: Uint8Array | null
}

/** When a task of the sweeper was last begun, so that several processes take turns. */
export interface SweepsTable {
  task: string
  began_at: Date
}

export interface Database {
  users: UsersTable
  revoked_tokens: RevokedTokensTable
  login_attempts: LoginAttemptsTable
  rate_limits: RateLimitsTable
  api_keys: ApiKeysTable
  api_key_secrets: ApiKeySecretsTable
  generations: GenerationsTable
  generation_events: GenerationEventsTable
  input_images: InputImagesTable
  images: ImagesTable
  stored_bytes: StoredBytesTable
  usage: UsageTable
  spending: SpendingTable
  usage_days: UsageDaysTable
  idempotency_keys: IdempotencyKeysTable
  inline_objects: InlineObjectsTable
  webhooks: WebhooksTable
  webhook_secrets: WebhookSecretsTable
  webhook_deliveries: WebhookDeliveriesTable
  webhook_attempts: WebhookAttemptsTable
  audit: AuditTable
  database_identity: DatabaseIdentityTable
  doomed_objects: DoomedObjectsTable
  spooled_generations: SpooledGenerationsTable
  spooled_images: SpooledImagesTable
  sweeps: SweepsTable
}
