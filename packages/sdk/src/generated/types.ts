// Written by scripts/generate.ts from the router; `pnpm generate` writes it anew.

export interface AccessToken {
  /** JWT (HS256); send it as `Authorization: Bearer …`. */
  access_token: string
  token_type: 'bearer'
  /** Seconds until the token ends: 604800, one week. */
  expires_in: number
}

/** An account. */
export interface Account {
  id: string
  email: string
  name: string | null
  /** RFC 3339 time in UTC. */
  created_at: string
}

/** An API key, without its secret. */
export interface ApiKey {
  id: string
  name: string
  /** First 12 characters of the secret and `...`, to recognise it by. */
  prefix: string
  /** `live` calls the provider; `test` makes free sandbox pictures. */
  mode: Mode
  scopes: Scope[]
  status: KeyStatus
  /** RFC 3339 time in UTC. */
  created_at: string
  /** Accurate to a minute. */
  last_used_at: string | null
  /** RFC 3339 time in UTC. */
  expires_at: string | null
  monthly_limit_usd: number | null
  spent_this_month_usd: number
  requests_per_minute: number | null
  max_concurrency: number | null
}

export interface ApiKeyPage {
  data: ApiKey[]
  /** Pass as `cursor` for the next page; null on the last one. */
  next_cursor: string | null
}

/** An API key with its secret. */
export interface ApiKeyWithSecret {
  id: string
  name: string
  /** First 12 characters of the secret and `...`, to recognise it by. */
  prefix: string
  /** `live` calls the provider; `test` makes free sandbox pictures. */
  mode: Mode
  scopes: Scope[]
  status: KeyStatus
  /** RFC 3339 time in UTC. */
  created_at: string
  /** Accurate to a minute. */
  last_used_at: string | null
  /** RFC 3339 time in UTC. */
  expires_at: string | null
  monthly_limit_usd: number | null
  spent_this_month_usd: number
  requests_per_minute: number | null
  max_concurrency: number | null
  /** The secret. It is shown in this answer only. */
  key: string
}

export type AspectRatio =
  | '1:1'
  | '2:3'
  | '3:2'
  | '3:4'
  | '4:3'
  | '4:5'
  | '5:4'
  | '9:16'
  | '16:9'
  | '21:9'
  | '1:4'
  | '4:1'
  | '1:8'
  | '8:1'

export interface ChangePasswordInput {
  /** At least 8 characters, at most 72 bytes of UTF-8. */
  current_password: string
  /** At least 8 characters, at most 72 bytes of UTF-8. */
  new_password: string
  /**
   * Revokes every API key of the account as well; by default they go on working.
   * @default false
   */
  revoke_keys?: boolean
}

export interface CreateKeyInput {
  /** Your own name for the key, 1 to 64 characters. */
  name: string
  /**
   * `live` calls the provider; `test` makes free sandbox pictures.
   * @default 'live'
   */
  mode?: Mode
  /** Default: `generate` and `read`. */
  scopes?: Scope[]
  /** RFC 3339 time after which the key is refused; must lie in the future. */
  expires_at?: string | null
  /** Spending limit per UTC month in US dollars, 0 to 1000000; null means none. */
  monthly_limit_usd?: number | null
  /** Requests per minute; null means the server's default. */
  requests_per_minute?: number | null
  /** Generations in flight at once; null means the server's default. */
  max_concurrency?: number | null
}

export interface CreateWebhookInput {
  /**
   * Address that events are posted to, up to 2048 characters: https, port 443 or 80, a host name
   * whose addresses are all public.
   */
  url: string
  events: WebhookEvent[]
  /** Your own note, up to 256 characters. */
  description?: string | null
}

export interface DeleteAccountInput {
  /** At least 8 characters, at most 72 bytes of UTF-8. */
  password: string
}

/** An event on its way to an endpoint. */
export interface Delivery {
  id: string
  /** The header `webhook-id`, the same in every attempt. */
  message_id: string
  type: 'generation.succeeded' | 'generation.failed' | 'generation.canceled' | 'webhook.test'
  generation_id: string | null
  /**
   * `pending`: an attempt is due or under way. `failed`: no attempt is left. `dropped`: its
   * generation was deleted.
   */
  status: DeliveryStatus
  /** RFC 3339 time in UTC. */
  created_at: string
  /** Null once it has ended. */
  next_attempt_at: string | null
  /** RFC 3339 time in UTC. */
  ended_at: string | null
  /** Newest first, the last 20 of them. */
  attempts: DeliveryAttempt[]
}

export interface DeliveryAttempt {
  /** 1 for the first. */
  number: number
  /** RFC 3339 time in UTC. */
  at: string
  /** HTTP status of the answer; null: there was none. */
  status_code: number | null
  /** Milliseconds. */
  duration_ms: number
  error: DeliveryError | null
}

/**
 * `bad_status`: the answer was not 2xx; redirects are not followed. `unreachable`: no answer,
 * whatever the reason.
 */
export type DeliveryError = 'bad_status' | 'unreachable'

export interface DeliveryIdInput {
  id: string
  delivery_id: string
}

export interface DeliveryPage {
  data: Delivery[]
  /** Pass as `cursor` for the next page; null on the last one. */
  next_cursor: string | null
}

/**
 * `pending`: an attempt is due or under way. `failed`: no attempt is left. `dropped`: its
 * generation was deleted.
 */
export type DeliveryStatus = 'pending' | 'delivered' | 'failed' | 'dropped'

export interface GenerateInput {
  /** What to draw, 1 to 8192 characters. */
  prompt: string
  /** Model id or alias. Default: the server's default model. */
  model?: ModelName
  /** Width to height; must be one the model has. Default: the model chooses. */
  aspect_ratio?: AspectRatio
  /** Pixels of the longer side, roughly; must be one the model has. Default `1K`. */
  size?: Size
  /**
   * How many images, each a call to the model. Default 1. Some may fail: what came is returned and
   * charged, with a warning.
   */
  n?: number
  /**
   * Images to edit or to refer to, in order, as many as the model takes. The first `generation_id`
   * becomes `parent_id`.
   */
  images?: ImageInput[]
  /** File format of the result. Default: as the model made it. */
  output_format?: OutputFormat
  /** Quality of a `jpeg` or `webp`, which must be named. Default 90. */
  output_quality?: number
  /** Start of the randomness, 0 to 2147483647; image i of `n` uses `seed` + i. */
  seed?: number
  /** How long the model may think; must be one the model has. Default: the model's. */
  thinking_level?: ThinkingLevel
  /** Up to 16 pairs of text to find the generation by; names up to 64, values up to 512. */
  metadata?: Record<string, string>
  /** Your own id of the end user, up to 64 characters. */
  user?: string
  /** With an access token only; a key has its own mode. */
  mode?: Mode
}

/** A request and the images that came of it. */
export interface Generation {
  id: string
  object: 'generation'
  status: GenerationStatus
  /** The first image's `url`. */
  url: string | null
  prompt: string
  /** RFC 3339 time in UTC. */
  created_at: string
  /** RFC 3339 time in UTC. */
  completed_at: string | null
  model: string
  /** `live` calls the provider; `test` makes free sandbox pictures. */
  mode: Mode
  parent_id: string | null
  images: Image[]
  /** The model's own words beside the image. */
  text: string | null
  requested: {
    aspect_ratio: string | null
    size: string
    n: number
    /** How many images came with the request. */
    input_images: number
    output_format: string | null
    output_quality: number | null
    seed: number | null
    thinking_level: string | null
  }
  warnings: Warning[]
  usage: {
    input_tokens: number
    output_tokens: number
    images: number
    /** US dollars; 0 unless the generation succeeded in live mode. */
    cost_usd: number
  }
  error: GenerationError | null
  metadata: Record<string, string>
  user: string | null
}

export interface GenerationError {
  type: string
  code: string
  message: string
}

/** The `data` of a server-sent event; `event` is its `type`. */
export type GenerationEvent = {
  type: 'generation.queued'
  /** When it happened. */
  timestamp: string
  /** A request and the images that came of it. */
  data: Generation
} | {
  type: 'generation.running'
  /** When it happened. */
  timestamp: string
  /** A request and the images that came of it. */
  data: Generation
} | {
  type: 'generation.text'
  /** When it happened. */
  timestamp: string
  data: {
    id: string
    text: string
  }
} | {
  type: 'generation.image'
  /** When it happened. */
  timestamp: string
  data: {
    id: string
    /** Place among the images, from 0. */
    index: number
    /** Null once it was deleted. */
    image: Image | null
  }
} | {
  type: 'generation.succeeded'
  /** When it happened. */
  timestamp: string
  /** A request and the images that came of it. */
  data: Generation
} | {
  type: 'generation.failed'
  /** When it happened. */
  timestamp: string
  /** A request and the images that came of it. */
  data: Generation
} | {
  type: 'generation.canceled'
  /** When it happened. */
  timestamp: string
  /** A request and the images that came of it. */
  data: Generation
}

export interface GenerationIdInput {
  id: string
}

export interface GenerationPage {
  data: Generation[]
  /** Pass as `cursor` for the next page; null on the last one. */
  next_cursor: string | null
}

export type GenerationStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'

export interface Image {
  id: string
  /** Address of the bytes, or a `data:` URL; null once inline bytes have expired. */
  url: string | null
  /** When `url` stops working; null: it does not. */
  url_expires_at: string | null
  /** Address of a small version (width 256); takes the same credential. */
  thumbnail_url: string | null
  /** Measured from the bytes: image/png, image/jpeg or image/webp. */
  mime_type: string
  /** Pixels, measured. */
  width: number
  /** Pixels, measured. */
  height: number
  /** Size of the file in bytes. */
  bytes: number
  /** SHA-256 of the file, in hex. */
  sha256: string
  storage: 's3' | 'disk' | 'inline'
  /** True when inline bytes are past their retention. */
  expired: boolean
}

export type ImageInput = UploadInput | ReferenceInput

export interface KeyIdInput {
  id: string
}

export type KeyStatus = 'active' | 'disabled' | 'expired' | 'revoked'

export interface ListDeliveriesInput {
  id: string
  /** Number of entries on a page, 1 to 100. Default 20. */
  limit?: number
  /** `next_cursor` of the page before; leave out for the first page. */
  cursor?: string
}

export interface ListGenerationsInput {
  /** Number of entries on a page, 1 to 100. Default 20. */
  limit?: number
  /** `next_cursor` of the page before; leave out for the first page. */
  cursor?: string
  /** With an access token: default `live`. A key sees its own mode. */
  mode?: Mode
  status?: GenerationStatus
  /** Id or alias of a model; `GET /v1/models` has them all. */
  model?: ModelName
  key_id?: string
  /**
   * Words that must all occur in the prompt, in upper or lower case, also inside other words. Up to
   * 10 words, 200 characters.
   */
  q?: string
  /** RFC 3339 time: only what was made then or later. */
  created_after?: string
  /** RFC 3339 time: only what was made before it. */
  created_before?: string
}

export interface ListKeysInput {
  /** Number of entries on a page, 1 to 100. Default 20. */
  limit?: number
  /** `next_cursor` of the page before; leave out for the first page. */
  cursor?: string
}

export interface ListWebhooksInput {
  /** Number of entries on a page, 1 to 100. Default 20. */
  limit?: number
  /** `next_cursor` of the page before; leave out for the first page. */
  cursor?: string
}

export interface LoginInput {
  /** Email address, 254 bytes at most; case is ignored. */
  email: string
  /** At least 8 characters, at most 72 bytes of UTF-8. */
  password: string
}

/** The account behind the credential. */
export interface Me {
  id: string
  email: string
  name: string | null
  /** RFC 3339 time in UTC. */
  created_at: string
  /** Spending limit per UTC month in US dollars; null means none. */
  monthly_limit_usd: number | null
  /** Spent in this UTC month, in US dollars. */
  spent_this_month_usd: number
}

/** `live` calls the provider; `test` makes free sandbox pictures. */
export type Mode = 'live' | 'test'

export interface Model {
  id: string
  object: 'model'
  /** Seconds since 1970. */
  created: number
  owned_by: string
  name: string
  aliases: string[]
  status: 'stable' | 'deprecated'
  default: boolean
  aspect_ratios: AspectRatio[]
  sizes: Size[]
  /** How many `images` a request may bring; 0: none. */
  max_input_images: number
  /** Empty where the caller has no say: the model never thinks, or always does. */
  thinking_levels: ThinkingLevel[]
  /** What the model does unasked; null: unknown, or no say. */
  default_thinking_level: ThinkingLevel | null
  pricing: {
    input_usd_per_million_tokens: number
    text_output_usd_per_million_tokens: number
    image_output_usd_per_million_tokens: number
    /** US dollars of one image by size, without the text tokens. */
    image_usd: Record<string, number>
    /** Day the prices were read, YYYY-MM-DD. */
    as_of: string
  }
}

export interface ModelList {
  object: 'list'
  data: Model[]
}

/** Id or alias of a model; `GET /v1/models` has them all. */
export type ModelName =
  | 'gemini-nano-banana-2.1'
  | 'nano-banana-2.1'
  | 'nano-banana'
  | 'gemini-3.1-flash-lite-image'
  | 'nano-banana-2-lite'
  | 'gemini-3-pro-image'
  | 'nano-banana-pro'
  | 'gemini-3.1-flash-image'
  | 'nano-banana-2'
  | 'gemini-2.5-flash-image'
  | (string & Record<never, never>)

export type OutputFormat = 'png' | 'jpeg' | 'webp'

export interface ReferenceInput {
  /** A generation of your own account. */
  generation_id: string
  /** Which of its images. Default: the first. */
  image_id?: string
}

export interface RegisterInput {
  /** Email address, 254 bytes at most; case is ignored. */
  email: string
  /** At least 8 characters, at most 72 bytes of UTF-8. */
  password: string
  /** Display name, 1 to 64 characters. */
  name?: string
  /** Needed when the operator set REGISTRATION=token. */
  registration_token?: string
}

export interface RotateKeyInput {
  id: string
  /** Seconds for which the old secret still works, 0 to 604800. Default 0. */
  grace_seconds?: number
}

export interface RotateWebhookSecretInput {
  id: string
  /** Seconds for which the old secret signs too, 0 to 604800. Default 86400. */
  grace_seconds?: number
}

/** `generate` makes images, `read` reads generations and images, `usage` reads usage. */
export type Scope = 'generate' | 'read' | 'usage'

export type Size = '512' | '1K' | '2K' | '4K'

export type ThinkingLevel = 'minimal' | 'medium' | 'high'

export interface UpdateKeyInput {
  id: string
  /** Your own name for the key, 1 to 64 characters. */
  name?: string
  /** A disabled key is refused until it is enabled again. */
  disabled?: boolean
  /** RFC 3339 time after which the key is refused; must lie in the future. */
  expires_at?: string | null
  /** Spending limit per UTC month in US dollars, 0 to 1000000; null means none. */
  monthly_limit_usd?: number | null
  /** Requests per minute; null means the server's default. */
  requests_per_minute?: number | null
  /** Generations in flight at once; null means the server's default. */
  max_concurrency?: number | null
}

export interface UpdateWebhookInput {
  id: string
  /**
   * Address that events are posted to, up to 2048 characters: https, port 443 or 80, a host name
   * whose addresses are all public.
   */
  url?: string
  events?: WebhookEvent[]
  /** Your own note, up to 256 characters. */
  description?: string | null
  /** True: it is told of nothing. False: it is told again, and what waited is sent. */
  disabled?: boolean
}

export interface UploadInput {
  /** The bytes of a PNG, JPEG or WebP in base64, or as a `data:` URL of base64. */
  data: string
  /** What `data` is, if you want it checked; the bytes decide. */
  mime_type?: string
}

export interface Usage {
  data: UsageRow[]
  total: {
    /** Generations that succeeded. */
    requests: number
    images: number
    input_tokens: number
    output_tokens: number
    cost_usd: number
  }
}

export interface UsageInput {
  /** First UTC day. Default: the first day of the month of `to`. */
  from?: string
  /** Last UTC day, included. Default: today. */
  to?: string
  /** What one row stands for. Default `day`. */
  group_by?: 'day' | 'key' | 'model'
  /** With an access token: default `live`. A key sees its own mode. */
  mode?: Mode
}

export interface UsageRow {
  /** UTC day, when grouped by day. */
  day?: string
  /** When grouped by key; null stands for calls with an access token. */
  key_id?: string | null
  /** When grouped by model. */
  model?: string
  /** Generations that succeeded. */
  requests: number
  images: number
  input_tokens: number
  output_tokens: number
  cost_usd: number
}

/** Where the result differs from the request. */
export interface Warning {
  code: string
  message: string
}

/** An endpoint that is told of events, without its secret. */
export interface Webhook {
  id: string
  url: string
  events: WebhookEvent[]
  description: string | null
  /** A disabled endpoint is told of nothing; what waits for it goes on waiting. */
  disabled: boolean
  disabled_reason: WebhookDisabledReason | null
  /** RFC 3339 time in UTC. */
  disabled_at: string | null
  /** The first of the failed attempts since the last that succeeded; null: none. */
  failing_since: string | null
  /** RFC 3339 time in UTC. */
  created_at: string
}

/**
 * `user`: you did. `gone`: it answered 410. `failing`: it failed for 5 days. `secret_unreadable`:
 * the server has had no key to its secret for 5 days; rotate it.
 */
export type WebhookDisabledReason = 'user' | 'gone' | 'failing' | 'secret_unreadable'

/** What an endpoint can be told of. */
export type WebhookEvent = 'generation.succeeded' | 'generation.failed' | 'generation.canceled'

export interface WebhookIdInput {
  id: string
}

/** The body of a message to an endpoint. */
export interface WebhookMessage {
  type: 'generation.succeeded' | 'generation.failed' | 'generation.canceled' | 'webhook.test'
  /** When it happened. */
  timestamp: string
  /** As `GET` answered it at this attempt, its image URLs fresh. */
  data: Generation
  /** Fields of `data` that were cut to keep the body within 64 kB. */
  truncated?: ('text' | 'prompt' | 'metadata')[]
}

export interface WebhookPage {
  data: Webhook[]
  /** Pass as `cursor` for the next page; null on the last one. */
  next_cursor: string | null
}

/** An endpoint with its secret. */
export interface WebhookWithSecret {
  id: string
  url: string
  events: WebhookEvent[]
  description: string | null
  /** A disabled endpoint is told of nothing; what waits for it goes on waiting. */
  disabled: boolean
  disabled_reason: WebhookDisabledReason | null
  /** RFC 3339 time in UTC. */
  disabled_at: string | null
  /** The first of the failed attempts since the last that succeeded; null: none. */
  failing_since: string | null
  /** RFC 3339 time in UTC. */
  created_at: string
  /** `whsec_` and 32 bytes in base64, to verify with. It is shown in this answer only. */
  secret: string
}
