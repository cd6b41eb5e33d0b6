import type { Exchange } from './exchange.ts'

/** Sends a request; throws what `Exchange.toError` understands unless the answer is a success. */
export async function fetchOk(
  exchange: Exchange,
  url: string,
  init: RequestInit,
): Promise<Response> {
  const response = await exchange.fetch(url, init)
  if (response.ok) return response
  throw Object.assign(new Error('refused'), { data: await response.json() })
}
