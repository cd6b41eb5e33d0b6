import { type CallOptions, createBounds } from './bounds.ts'
import { type Call, toCall } from './call.ts'
import { type ClientOptions, readConfig } from './config.ts'
import { follow } from './follow.ts'
import { createGenerate, type Generate } from './generate.ts'
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
import { createRequests } from './request.ts'
import type { GenerationResult } from './results.ts'
import { createSend } from './send.ts'

export interface Generations extends GenerationsApi {
  /**
   * Waits until a generation has ended.
   *
   * Resolves when it succeeded or was canceled, rejects as what it failed. Aborting the signal only
   * stops waiting.
   */
  wait(id: string, options?: CallOptions): Call<GenerationResult>
}

/**
 * Talks to a NanoBanana service.
 *
 * @example
 * const client = new NanoBanana({ apiKey: 'nb_test_…' })
 * const generation = await client.generate({ prompt: 'a banana on the moon' })
 * await generation.images[0]?.save('banana.png')
 */
export class NanoBanana implements Omit<Api, 'generate'> {
  readonly #options: ClientOptions
  readonly auth: AuthApi
  readonly generate: Generate
  readonly generations: Generations
  readonly keys: KeysApi
  readonly models: ModelsApi
  readonly usage: UsageApi
  readonly webhooks: WebhooksApi

  /** Throws a `TypeError` for an option that cannot work. */
  constructor(options: ClientOptions = {}) {
    this.#options = options
    const config = readConfig(options)
    const send = createSend(config)
    const api = createApi(createRequests(config, send))
    const wait = async (id: string, waitOptions?: CallOptions) => {
      const bounds = createBounds(config, waitOptions)
      bounds.generationId = id
      return follow(send, id, bounds)
    }
    this.auth = api.auth
    this.generate = createGenerate(config, send)
    this.generations = {
      ...api.generations,
      wait: (id, waitOptions) => toCall(wait(id, waitOptions)),
    }
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
