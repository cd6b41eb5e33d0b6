import type { AppError } from './app-error.ts'

/** To look again costs more than to refuse; a place that comes free is overlooked for so long. */
const HOLDS_MS = 250
const MAX_KNOWN = 1000

interface Refusal {
  readonly make: () => AppError
  readonly until: number
}

/**
 * Accounts that were just refused a place in the queue, and by which credentials they are known: what
 * they send next is refused before the database is asked for anything.
 */
export class Crowding {
  readonly #refusals = new Map<string, Refusal>()
  readonly #accounts = new Map<string, string>()

  /** Notes that this is what an account has to be told. */
  note(userId: string, make: () => AppError): void {
    put(this.#refusals, userId, { make, until: performance.now() + HOLDS_MS })
  }

  /** Notes whose a credential is; nothing is allowed on the strength of it. */
  know(credential: string, userId: string): void {
    put(this.#accounts, credential, userId)
  }

  /** What to tell the account of a credential, and which that is, while it holds. */
  find(credential: string): { userId: string; make: () => AppError } | undefined {
    const userId = this.#accounts.get(credential)
    const refusal = userId === undefined ? undefined : this.#refusals.get(userId)
    if (userId === undefined || refusal === undefined) return undefined
    return refusal.until > performance.now() ? { userId, make: refusal.make } : undefined
  }
}

/** The one that was put first goes where there are too many. */
function put<T>(all: Map<string, T>, name: string, value: T): void {
  all.delete(name)
  all.set(name, value)
  const [first] = all.size > MAX_KNOWN ? all.keys() : []
  if (first !== undefined) all.delete(first)
}
