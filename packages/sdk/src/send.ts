import { createTRPCUntypedClient, httpLink } from '@trpc/client'
import type { Bounds } from './bounds.ts'
import { withAnswer, type WithResponse } from './call.ts'
import { type Config, credentialOf } from './config.ts'
import { startExchange } from './exchange.ts'
import { createImageReader } from './image-reader.ts'
import { readable } from './results.ts'
import { retrying } from './retry.ts'

/** A call of a procedure of the service. */
export interface Outgoing {
  readonly type: 'query' | 'mutation'
  readonly path: string
  /** An object, or a form. */
  readonly input: object
  readonly headers?: Readonly<Record<string, string>>
  /** Whether a second try does nothing twice. Default: true for a query. */
  readonly repeatable?: boolean
}

/** Calls a procedure, again where that helps. */
export type Send = <T>(outgoing: Outgoing, bounds: Bounds) => Promise<WithResponse<T>>

export function createSend(config: Config): Send {
  const reader = createImageReader(config)
  return async <T>(outgoing: Outgoing, bounds: Bounds) => {
    const { type, repeatable = type === 'query' } = outgoing
    const answered = await retrying(bounds, repeatable, (timeoutMs) =>
      sendOnce(config, outgoing, { repeatable, timeoutMs, bounds }),
    )
    return { ...answered, data: readable(answered.data, reader) as T }
  }
}

async function sendOnce(
  config: Config,
  { type, path, input, headers }: Outgoing,
  limits: Parameters<typeof startExchange>[1],
): Promise<WithResponse<unknown>> {
  const exchange = startExchange(config, limits)
  // A client of its own per request: tRPC's fetch is not told which call it sends.
  const link = httpLink({
    url: `${config.baseUrl}/trpc`,
    headers: { ...credentialOf(config), ...headers },
    fetch: (address: unknown, init: unknown) =>
      exchange.fetch(String(address), init as RequestInit),
  })
  try {
    const data = await createTRPCUntypedClient({ links: [link] })[type](path, input)
    return withAnswer(data, exchange.answer)
  } catch (error) {
    throw exchange.toError(error)
  } finally {
    exchange.end()
  }
}
