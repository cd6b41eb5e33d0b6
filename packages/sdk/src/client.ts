import { type ClientOptions, readConfig } from './config.ts'
import type {
  Api,
  AuthApi,
  GenerationsApi,
  KeysApi,
  ModelsApi,
  UsageApi,
  WebhooksApi,
} from './generated/api.ts'
import { createApi } from './generated/create-api.ts'
import { createRequest } from './request.ts'

/**
 * Talks to a NanoBanana service.
 *
 * @example
 * const client = new NanoBanana({ apiKey: 'nb_test_…' })
 * const generation = await client.generate({ prompt: 'a banana on the moon' })
 * console.log(generation.url)
 */
export class NanoBanana implements Api {
  readonly #options: ClientOptions
  readonly auth: AuthApi
  readonly generate: Api['generate']
  readonly generations: GenerationsApi
  readonly keys: KeysApi
  readonly models: ModelsApi
  readonly usage: UsageApi
  readonly webhooks: WebhooksApi

  /** Throws a `TypeError` for an option that cannot work. */
  constructor(options: ClientOptions = {}) {
    this.#options = options
    const api = createApi(createRequest(readConfig(options)))
    this.auth = api.auth
    this.generate = api.generate
    this.generations = api.generations
    this.keys = api.keys
    this.models = api.models
    this.usage = api.usage
    this.webhooks = api.webhooks
  }

  /** Returns a client with the same options and another API key or access token. */
  withApiKey(apiKey: string): NanoBanana {
    return new NanoBanana({ ...this.#options, apiKey })
  }
}
