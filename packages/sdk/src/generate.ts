import { type Bounds, createBounds } from './bounds.ts'
import { type Call, toCall } from './call.ts'
import type { Config } from './config.ts'
import { type Answered, follow } from './follow.ts'
import { type GenerateOptions, newIdempotencyKey } from './generate-options.ts'
import { type GenerateParams, toBody } from './image-source.ts'
import type { GenerationResult } from './results.ts'
import type { Send } from './send.ts'
import { createStream, type EventStream } from './stream.ts'

export interface WaitOptions extends GenerateOptions {
  /**
   * Seconds, 1 to 90, for which the service holds the request before it tells the generation's id
   * and goes on by itself; the client then asks until it has ended. Default 50, below what common
   * proxies cut.
   */
  waitSeconds?: number | undefined
}

const DEFAULT_WAIT_SECONDS = 50
/** For the cancellation of what nobody waits for any more. */
const CANCEL_MS = 5000

/** Makes images from a prompt, or edits some. */
export interface Generate {
  /**
   * Makes images from a prompt, or edits some, and waits until they are there.
   *
   * Requests that fail in a way that may pass are sent again under one `Idempotency-Key`, so nothing
   * is bought twice. A failed generation costs nothing. Aborting the signal ends the call at once,
   * and cancels the generation once its id is known, which is after `waitSeconds` at the latest.
   * Rejects with `unsupported_parameter`, `model_not_found`, `invalid_image`, `budget_exceeded`,
   * `content_blocked`, `no_image`, `provider_not_configured` and others; `timeout` says in
   * `generationId` what to `generations.wait` for.
   *
   * @example
   * const generation = await client.generate({ prompt: 'a banana on the moon', size: '2K' })
   * await generation.images[0]?.save('banana.png')
   */
  (params: GenerateParams, options?: WaitOptions): Call<GenerationResult>
  /**
   * Has images made without waiting for them: resolves with the generation as it is accepted.
   *
   * Go on with `generations.wait`, a webhook or `generations.cancel`. Rejects with `overloaded` where
   * the queue is full, and with what is wrong with the input.
   *
   * @example
   * const { id } = await client.generate.submit({ prompt: 'a banana on the moon' })
   * const generation = await client.generations.wait(id)
   */
  submit(params: GenerateParams, options?: GenerateOptions): Call<GenerationResult>
  /**
   * Makes images and yields what happens, until `generation.succeeded`, `.failed` or `.canceled`.
   *
   * A connection that breaks is taken up where it was. Aborting the signal ends it and cancels the
   * generation; leaving the loop only stops listening.
   *
   * @example
   * for await (const event of client.generate.stream({ prompt: 'a banana on the moon' })) {
   *   if (event.type === 'generation.image') await event.data.image?.save('banana.png')
   * }
   */
  stream(params: GenerateParams, options?: GenerateOptions): EventStream
}

export function createGenerate(config: Config, send: Send): Generate {
  const cancel = (id: string): void => {
    const options = { timeoutMs: CANCEL_MS, totalTimeoutMs: CANCEL_MS }
    const outgoing = { type: 'mutation', path: 'generations.cancel', input: { id } } as const
    // Nobody waits: what was aborted has ended for its caller.
    send({ ...outgoing, repeatable: true }, createBounds(config, options)).catch(() => {})
  }

  const post = async (
    params: GenerateParams,
    options: GenerateOptions,
    prefer: string,
    bounds: Bounds,
  ): Promise<() => Promise<Answered>> => {
    const input = await toBody(params)
    const key = options.idempotencyKey ?? newIdempotencyKey()
    const headers = { 'idempotency-key': key, prefer }
    const outgoing = { type: 'mutation', path: 'generate', input, headers } as const
    return () => send({ ...outgoing, repeatable: true }, bounds)
  }

  const wait = async (params: GenerateParams, options: WaitOptions = {}): Promise<Answered> => {
    const bounds = createBounds(config, options)
    const prefer = `wait=${checkWait(options.waitSeconds ?? DEFAULT_WAIT_SECONDS)}`
    try {
      const ask = await post(params, options, prefer, bounds)
      const from = await ask()
      bounds.generationId = from.data.id
      return await follow(send, from.data.id, bounds, { from, ask })
    } catch (error) {
      if (bounds.signal?.aborted && bounds.generationId) cancel(bounds.generationId)
      throw error
    }
  }

  const submit = async (params: GenerateParams, options: GenerateOptions = {}) => {
    const bounds = createBounds(config, options)
    const ask = await post(params, options, 'respond-async', bounds)
    return ask()
  }

  return Object.assign(
    (params: GenerateParams, options?: WaitOptions) => toCall(wait(params, options)),
    {
      submit: (params: GenerateParams, options?: GenerateOptions) =>
        toCall(submit(params, options)),
      stream: createStream(config, cancel),
    },
  )
}

function checkWait(seconds: number): number {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 90) return seconds
  throw new TypeError('waitSeconds is not a whole number from 1 to 90')
}
