import type { RateLimitCharge, RateLimiter, RateLimitResult } from '../../ports/rate-limiter.ts'
import { consumeOne } from './count.ts'

/** A call that waits for the store, or several of a batch. */
interface Waiting {
  readonly calls: number
  resolve(results: RateLimitResult[]): void
  reject(error: unknown): void
}

/**
 * For a store that others share: while it is asked about somebody, further calls of theirs wait and then
 * go together. So a flood holds one connection, and the others find the rest free.
 */
export function withGathering(limiter: RateLimiter): RateLimiter {
  const gathered = new Map<string, Waiting[]>()

  const consumeAll: RateLimiter['consumeAll'] = (charges, calls = 1) =>
    new Promise((resolve, reject) => {
      const one: Waiting = { calls, resolve, reject }
      const name = JSON.stringify(charges)
      const others = gathered.get(name)
      if (others === undefined) void askInTurn(name, charges, [one])
      else others.push(one)
    })

  async function askInTurn(
    name: string,
    charges: readonly RateLimitCharge[],
    first: Waiting[],
  ): Promise<void> {
    let together = first
    while (together.length > 0) {
      const next: Waiting[] = []
      gathered.set(name, next)
      await ask(charges, together)
      together = next
    }
    gathered.delete(name)
  }

  async function ask(charges: readonly RateLimitCharge[], together: readonly Waiting[]) {
    try {
      const sum = together.reduce((calls, one) => calls + one.calls, 0)
      const results = await limiter.consumeAll(charges, sum)
      let before = 0
      for (const { calls, resolve } of together) {
        resolve(partOf(results, before, calls))
        before += calls
      }
    } catch (error) {
      for (const { reject } of together) reject(error)
    }
  }

  return {
    consumeAll,
    consume: consumeOne(consumeAll),
    sweep: () => limiter.sweep(),
  }
}

/** What became of some of the calls, which came after others. */
function partOf(all: readonly RateLimitResult[], before: number, calls: number): RateLimitResult[] {
  const results: RateLimitResult[] = []
  let asked = calls
  for (const { passed: together, remaining, resetMs } of all) {
    const passed = Math.min(asked, Math.max(0, together - before))
    const after = Math.max(0, together - before - passed)
    results.push({ allowed: passed === asked, passed, remaining: remaining + after, resetMs })
    asked = passed
    if (asked === 0) break
  }
  return results
}
