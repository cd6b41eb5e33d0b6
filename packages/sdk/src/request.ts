import { type CallOptions, createBounds } from './bounds.ts'
import { type Call, toCall } from './call.ts'
import type { Config } from './config.ts'
import { type Page, type PageCall, toPageCall } from './page.ts'
import type { Outgoing, Send } from './send.ts'

/** The ways in which the generated methods call procedures. */
export interface Requests {
  request<T>(type: Outgoing['type'], path: string, input: object, options?: CallOptions): Call<T>
  /** A query whose answer is a page. */
  list<T>(path: string, input: object, options?: CallOptions): PageCall<T>
}

/** What may be asked for again, since it is done once it is done. */
const REPEATABLE: ReadonlySet<string> = new Set(['generations.cancel', 'keys.revoke'])

export function createRequests(config: Config, send: Send): Requests {
  const call = async <T>(outgoing: Outgoing, options: CallOptions | undefined) =>
    send<T>(outgoing, createBounds(config, options))
  return {
    request: <T>(type: Outgoing['type'], path: string, input: object, options?: CallOptions) => {
      const repeatable = type === 'query' || REPEATABLE.has(path)
      return toCall(call<T>({ type, path, input, repeatable }, options))
    },
    list: <T>(path: string, input: object, options?: CallOptions) =>
      toPageCall<T>((cursor) => {
        const from = cursor === undefined ? input : { ...input, cursor }
        return call<Page<T>>({ type: 'query', path, input: from }, options)
      }),
  }
}
