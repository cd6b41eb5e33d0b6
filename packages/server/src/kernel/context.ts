import type { Delivery } from './delivery.ts'
import type { Deps } from './deps.ts'
import type { Principal } from './principal.ts'

/** What a procedure sees of the request that called it. */
export interface Context {
  readonly deps: Deps
  readonly requestId: string
  /** Client address; behind a trusted proxy the one it forwarded. */
  readonly ip: string
  /** Refuses a call of a batch, by its place in it, for which the limits have no room. */
  admit(call: number): void
  /** Reads the credential once, whoever asks; rejects with `invalid_token` or `invalid_api_key`. */
  authenticate(): Promise<Principal>
  /** The address under which callers find a path of ours: with the prefix that a proxy strips. */
  locationOf(path: string): string
  /** A request header; undefined where it is absent. */
  header(name: string): string | undefined
  /** Sets a response header, on success and on error alike. */
  setHeader(name: string, value: string): void
  /** How the caller wants to hear of a generation. */
  readonly delivery: Delivery
  /** The answer over REST is 202: what it tells of goes on. */
  setAccepted(): void
  /** Says that the request now only waits for a generation, so that others may be let in to work. */
  startWaiting(): void
}
