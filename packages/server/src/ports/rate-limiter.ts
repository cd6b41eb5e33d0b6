export interface RateLimitRule {
  /** Bucket family; the limiter keeps one counter per rule name and subject. */
  readonly name: string
  readonly limit: number
  readonly windowSeconds: number
}

export interface RateLimitResult {
  readonly allowed: boolean
  readonly remaining: number
  /** Milliseconds until the window ends. */
  readonly resetMs: number
}

/**
 * Counts events in fixed windows. Promises: of N parallel `consume` calls on a limit of L, exactly
 * min(N, L) are allowed in one window; `peek` counts nothing.
 */
export interface RateLimiter {
  consume(rule: RateLimitRule, subject: string): Promise<RateLimitResult>
  peek(rule: RateLimitRule, subject: string): Promise<RateLimitResult>
}
