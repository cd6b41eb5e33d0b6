import type { Mode, Scope } from '@nanobanana/shared'

/** Someone who logged in. */
export interface SessionPrincipal {
  readonly kind: 'session'
  /** Bare uuid. */
  readonly userId: string
  readonly jti: string
  /** The account's, when the token was let in; a change of password raises it. */
  readonly tokenVersion: number
  /** When the token ends by itself. */
  readonly expiresAt: Date
}

/** A program with an API key. */
export interface KeyPrincipal {
  readonly kind: 'key'
  readonly userId: string
  readonly keyId: string
  readonly mode: Mode
  readonly scopes: readonly Scope[]
  /** The key's own limits; null: the service's. */
  readonly requestsPerMinute: number | null
  readonly maxConcurrency: number | null
}

export type Principal = SessionPrincipal | KeyPrincipal

/** The mode a read is about: a key has its own, a session says one (default live). */
export const modeOf = (principal: Principal, asked: Mode | undefined): Mode =>
  principal.kind === 'key' ? principal.mode : (asked ?? 'live')
