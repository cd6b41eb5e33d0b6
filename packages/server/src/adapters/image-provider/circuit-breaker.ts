const WINDOW_MS = 30_000
const MIN_CALLS = 20
const FAILURE_SHARE = 0.5
const PROBE_INTERVAL_MS = 10_000

/** The right to make one call, whose end is to be reported. */
export interface Permit {
  readonly era: number
}

/**
 * Stops calls to what keeps failing: it opens when half of at least 20 calls that ended within 30 s
 * failed. While open it lets one call through every 10 s, whether or not the one before has ended;
 * the first of them to succeed closes it.
 */
export class CircuitBreaker {
  readonly #now: () => number
  #ended: { readonly at: number; readonly failed: boolean }[] = []
  /** When the next call is let through; undefined while closed. */
  #probeAt: number | undefined
  /** Grows with each change: what began before says nothing about the time after. */
  #era = 0

  /** `now` in milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Milliseconds until a call is let through. */
  get waitMs(): number {
    return this.#probeAt === undefined ? 0 : Math.max(0, this.#probeAt - this.#now())
  }

  /** Undefined: refused. */
  admit(): Permit | undefined {
    if (this.waitMs > 0) return undefined
    if (this.#probeAt !== undefined) this.#probeAt = this.#now() + PROBE_INTERVAL_MS
    return { era: this.#era }
  }

  /** Takes the end of a call and tells what that changed. A call that is never reported does not count. */
  report({ era }: Permit, failed: boolean): 'opened' | 'closed' | undefined {
    if (era !== this.#era) return undefined
    if (this.#probeAt === undefined) return this.#count(failed) ? this.#turn('opened') : undefined
    return failed ? undefined : this.#turn('closed')
  }

  /** Whether this end is one failure too many. */
  #count(failed: boolean): boolean {
    const at = this.#now()
    this.#ended = this.#ended.filter((call) => call.at > at - WINDOW_MS)
    this.#ended.push({ at, failed })
    const failures = this.#ended.filter((call) => call.failed).length
    const { length } = this.#ended
    return failed && length >= MIN_CALLS && failures >= length * FAILURE_SHARE
  }

  #turn(change: 'opened' | 'closed'): 'opened' | 'closed' {
    this.#era++
    this.#ended = []
    this.#probeAt = change === 'opened' ? this.#now() + PROBE_INTERVAL_MS : undefined
    return change
  }
}
