import type { CallOptions } from './bounds.ts'

export interface GenerateOptions extends CallOptions {
  /**
   * 1 to 255 visible ASCII characters. A repeat with the same key and input answers the same
   * generation and buys nothing, for 24 hours. Default: a new one for each call.
   */
  idempotencyKey?: string | undefined
}

/** Not `randomUUID`, which browsers have on secure pages only. */
export function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return `sdk_${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
