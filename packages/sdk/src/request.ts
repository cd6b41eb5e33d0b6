import { createTRPCUntypedClient, httpLink } from '@trpc/client'
import { checkTimeout, type Config } from './config.ts'
import { startExchange } from './exchange.ts'

/** What every method takes as its last argument. */
export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason, as `fetch` does. */
  signal?: AbortSignal | undefined
  /** Milliseconds for this attempt, `Infinity` for no bound. Default: the client's. */
  timeoutMs?: number | undefined
}

/** Calls a procedure of the service. */
export type Request = <T>(
  type: 'query' | 'mutation',
  path: string,
  input: object,
  options?: CallOptions,
) => Promise<T>

export function createRequest(config: Config): Request {
  const headers = config.apiKey === undefined ? {} : { authorization: `Bearer ${config.apiKey}` }
  return async <T>(
    type: 'query' | 'mutation',
    path: string,
    input: object,
    options?: CallOptions,
  ) => {
    const { signal } = options ?? {}
    const timeoutMs = checkTimeout(options?.timeoutMs ?? config.timeoutMs)
    signal?.throwIfAborted()
    const exchange = startExchange(config, { repeatable: type === 'query', signal, timeoutMs })
    // A client of its own per call: tRPC's fetch is not told which call it sends.
    const url = `${config.baseUrl}/trpc`
    const fetch = (address: unknown, init: unknown) =>
      exchange.fetch(String(address), init as RequestInit)
    const client = createTRPCUntypedClient({ links: [httpLink({ url, headers, fetch })] })
    try {
      return (await client[type](path, input)) as T
    } catch (error) {
      throw exchange.toError(error)
    } finally {
      exchange.end()
    }
  }
}
