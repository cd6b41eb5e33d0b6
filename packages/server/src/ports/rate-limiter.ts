export interface RateLimitRule {
  /** Bucket family; the limiter keeps one counter per rule name and subject. */
  readonly name: string
  readonly limit: number
  /** Whole seconds. */
  readonly windowSeconds: number
  /** Also holds the limit in a sixth of the window, which does not end with it: see `withBursts`. */
  readonly burst?: boolean
  /** Guards credentials: a process that lost the shared store counts by itself and allows half of the limit. */
  readonly strict?: boolean
}

/** A counter, by its rule and whom it counts. */
export interface RateLimitCharge {
  readonly rule: RateLimitRule
  readonly subject: string
}

export interface RateLimitResult {
  /** Whether all calls that were counted may pass. */
  readonly allowed: boolean
  /** How many of them may. */
  readonly passed: number
  readonly remaining: number
  /** Milliseconds until the window ends. */
  readonly resetMs: number
}

/**
 * Counts events in fixed windows; a subject's window begins with its first call after the one before
 * has ended. Promises: of N parallel calls on a limit of L, exactly min(N, L) pass in one window, over
 * all processes that share the store; a refused call does not lengthen the window.
 */
export interface RateLimiter {
  /** `calls`: how many are counted at once, 1 unless told; of a batch as many pass as there is room for. */
  consume(rule: RateLimitRule, subject: string, calls?: number): Promise<RateLimitResult>
  /**
   * Counts the same calls by several rules, in as few steps as the store can: each rule only what the
   * one before let pass. Answers their results in order; none of the rules behind one that let nothing pass.
   */
  consumeAll(charges: readonly RateLimitCharge[], calls?: number): Promise<RateLimitResult[]>
  /** Deletes the counters whose window has ended, where the store does not by itself; answers how many. */
  sweep(): Promise<number>
}
