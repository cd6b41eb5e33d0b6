// Written by scripts/generate.ts from the router; `pnpm generate` writes it anew.

import type { CallOptions } from '../bounds.ts'
import type { Call } from '../call.ts'
import type { PageCall } from '../page.ts'
import type { GenerationResult } from '../results.ts'
import type {
  AccessToken,
  Account,
  ApiKey,
  ApiKeyWithSecret,
  ChangePasswordInput,
  CreateKeyInput,
  CreateWebhookInput,
  DeleteAccountInput,
  Delivery,
  DeliveryIdInput,
  GenerateInput,
  Generation,
  GenerationIdInput,
  KeyIdInput,
  ListDeliveriesInput,
  ListGenerationsInput,
  ListKeysInput,
  ListWebhooksInput,
  LoginInput,
  Me,
  ModelList,
  RegisterInput,
  RotateKeyInput,
  RotateWebhookSecretInput,
  UpdateKeyInput,
  UpdateWebhookInput,
  Usage,
  UsageInput,
  Webhook,
  WebhookIdInput,
  WebhookWithSecret,
} from './types.ts'

export interface AuthApi {
  /**
   * Registers an account.
   *
   * Errors: `email_taken`, `password_too_short`, `password_too_long`, `password_too_common`,
   * `registration_closed`. A few registrations per hour and address are taken, then `rate_limited`.
   */
  register(input: RegisterInput, options?: CallOptions): Call<Account>
  /**
   * Answers an access token for email and password.
   *
   * The token is a JWT of one week. Errors: `invalid_credentials`, `login_throttled`.
   */
  login(input: LoginInput, options?: CallOptions): Call<AccessToken>
  /** Ends this access token at once. */
  logout(options?: CallOptions): Call<void>
  /** Ends every access token of the account at once. */
  logoutAll(options?: CallOptions): Call<void>
  /** Reads the account, its limit and its spend of this month. */
  me(options?: CallOptions): Call<Me>
  /**
   * Changes the password.
   *
   * Every access token of the account ends, this one too; API keys go on working unless
   * `revoke_keys` is true.
   */
  password(input: ChangePasswordInput, options?: CallOptions): Call<void>
  /**
   * Deletes the account with its keys, prompts and images.
   *
   * The usage record keeps ids and amounts. The email address is free again.
   */
  deleteAccount(input: DeleteAccountInput, options?: CallOptions): Call<void>
}

export interface KeysApi {
  /**
   * Creates an API key.
   *
   * The secret is in this answer only; the service keeps a digest. An account has at most 25 active
   * keys (`key_limit_reached`).
   */
  create(input: CreateKeyInput, options?: CallOptions): Call<ApiKeyWithSecret>
  /**
   * Lists API keys, newest first.
   *
   * Revoked keys stay listed.
   */
  list(input?: ListKeysInput, options?: CallOptions): PageCall<ApiKey>
  /** Reads an API key. */
  get(input: KeyIdInput, options?: CallOptions): Call<ApiKey>
  /**
   * Changes the name, limits or expiry of an API key, or disables it.
   *
   * Fields that are left out stay; null removes a limit or the expiry.
   */
  update(input: UpdateKeyInput, options?: CallOptions): Call<ApiKey>
  /**
   * Revokes an API key for good.
   *
   * The very next request with it is refused. Revoking again is no error.
   */
  revoke(input: KeyIdInput, options?: CallOptions): Call<void>
  /**
   * Gives an API key a new secret.
   *
   * The id, limits and usage stay. The old secret ends at once, or after `grace_seconds`.
   */
  rotate(input: RotateKeyInput, options?: CallOptions): Call<ApiKeyWithSecret>
}

export interface GenerationsApi {
  /**
   * Lists generations, newest first.
   *
   * A key sees the generations of its account in its own mode.
   */
  list(input?: ListGenerationsInput, options?: CallOptions): PageCall<GenerationResult>
  /**
   * Reads a generation, with fresh image URLs.
   *
   * With `Accept: text/event-stream` its events, from the one after `Last-Event-ID` on, until it
   * has ended.
   */
  get(input: GenerationIdInput, options?: CallOptions): Call<GenerationResult>
  /**
   * Cancels a generation that waits or runs.
   *
   * Nothing is charged. One that is canceled already is answered again; one that succeeded or
   * failed: `not_cancelable`.
   */
  cancel(input: GenerationIdInput, options?: CallOptions): Call<GenerationResult>
  /**
   * Deletes a generation with its prompt and images.
   *
   * Usage and cost stay in the account’s sums. One that still runs: `not_deletable`.
   */
  delete(input: GenerationIdInput, options?: CallOptions): Call<void>
}

export interface ModelsApi {
  /** Lists the models, what each can do and what it costs. */
  list(options?: CallOptions): Call<ModelList>
}

export interface UsageApi {
  /**
   * Sums usage and cost by day, key or model.
   *
   * Counts generations that succeeded, by UTC days of at most 366. A key needs the scope `usage`
   * and sees its own mode.
   */
  get(input?: UsageInput, options?: CallOptions): Call<Usage>
}

export interface WebhooksApi {
  /**
   * Creates an endpoint that is told of events.
   *
   * The secret is in this answer only. Every message is signed with it by Standard Webhooks 1.0. An
   * account has at most 20 endpoints (`webhook_limit_reached`).
   */
  create(input: CreateWebhookInput, options?: CallOptions): Call<WebhookWithSecret>
  /** Lists endpoints, newest first. */
  list(input?: ListWebhooksInput, options?: CallOptions): PageCall<Webhook>
  /** Reads an endpoint. */
  get(input: WebhookIdInput, options?: CallOptions): Call<Webhook>
  /**
   * Changes the address, events or description of an endpoint, or disables it.
   *
   * Fields that are left out stay; null removes the description.
   */
  update(input: UpdateWebhookInput, options?: CallOptions): Call<Webhook>
  /**
   * Deletes an endpoint with its deliveries.
   *
   * What waits for it is not sent any more.
   */
  delete(input: WebhookIdInput, options?: CallOptions): Call<void>
  /**
   * Gives an endpoint a new secret.
   *
   * The new one is in this answer only. For `grace_seconds` messages carry a signature of each, and
   * either verifies.
   */
  rotateSecret(input: RotateWebhookSecretInput, options?: CallOptions): Call<WebhookWithSecret>
  /**
   * Sends a sample to an endpoint now.
   *
   * A signed message of the type `webhook.test` with a generation that never was, sent once, also
   * to a disabled endpoint. Answers the delivery with what came of it, after 15 seconds at most.
   */
  test(input: WebhookIdInput, options?: CallOptions): Call<Delivery>
  /**
   * Lists what was and will be sent to an endpoint, newest first.
   *
   * Kept for 30 days after their end.
   */
  deliveries(input: ListDeliveriesInput, options?: CallOptions): PageCall<Delivery>
  /**
   * Sends a delivery again, whatever became of it.
   *
   * It is due at once and has its whole schedule of attempts before it; `webhook-id` stays.
   */
  redeliver(input: DeliveryIdInput, options?: CallOptions): Call<Delivery>
}

/** The methods of the API. */
export interface Api {
  /**
   * Makes images from a prompt, or edits some.
   *
   * Waits for the result; where that takes longer than the server waits (90 s by default) the
   * answer is 202 with the generation as it is by then. `Prefer: respond-async` is answered 202 at
   * once, `Prefer: wait=N` after N seconds at the latest; `Accept: text/event-stream` asks for
   * events. With an `Idempotency-Key` a repeat answers the same generation and buys nothing. Errors
   * that matter: `unsupported_parameter`, `model_not_found`, `invalid_image`, `payload_too_large`,
   * `budget_exceeded`, `concurrency_limited`, `idempotency_in_progress`, `idempotency_mismatch`,
   * `content_blocked`, `no_image`, `provider_not_configured`, `upstream_unavailable`,
   * `upstream_rate_limited`, `upstream_timeout`, `overloaded`. Where some of `n` images fail, the
   * others are returned and charged, with a warning. From the moment the generation is recorded
   * every answer, errors included, carries `X-Generation-Id` and `Location`. A failed generation
   * costs nothing.
   */
  generate(input: GenerateInput, options?: CallOptions): Call<GenerationResult>
  readonly auth: AuthApi
  readonly keys: KeysApi
  readonly generations: GenerationsApi
  readonly models: ModelsApi
  readonly usage: UsageApi
  readonly webhooks: WebhooksApi
}
