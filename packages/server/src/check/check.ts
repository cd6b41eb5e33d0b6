import { sql } from 'kysely'
import type { Db } from '../db/client.ts'
import type { CurrentObjectStore } from '../ports/object-store.ts'
import { callsWithin, type CountedCalls } from './calls.ts'
import { searchesOfJobs } from './jobs.ts'
import { searchesOfLedger } from './ledger.ts'
import { doomedImages, findBadObjects, findOrphans } from './objects.ts'
import { searchesOfSpool } from './spool.ts'
import { searchesOfSums, withinLimits } from './sums.ts'
import { searchesOfWebhooks } from './webhooks.ts'
import type { Search, Violation } from './violation.ts'

export interface CheckOptions {
  /** What a test counted at the provider; without it that is not checked. */
  readonly upstream?: CountedCalls
  /** For a database on which no monthly limit was ever lowered: no counter may be above its limit. */
  readonly limits?: { readonly defaultMicros: number | null }
}

/** Told of each kind. */
const MAX_FOUND = 100

/**
 * Finds what contradicts the promises about money and jobs. Changes nothing, and may run beside the
 * service: the rows are read as of one moment, objects that come or go meanwhile count as whole. It
 * knows the tables and the ports, and none of the rules that write them.
 */
export async function findViolations(
  db: Db,
  objects: CurrentObjectStore,
  { upstream, limits }: CheckOptions = {},
): Promise<Violation[]> {
  const searches = [
    ...searchesOfJobs,
    ...searchesOfLedger,
    ...searchesOfSums,
    doomedImages,
    ...searchesOfSpool,
    ...searchesOfWebhooks,
    ...(limits === undefined ? [] : [withinLimits(limits.defaultMicros)]),
    ...(upstream === undefined ? [] : [callsWithin(upstream)]),
  ]
  return [
    ...(await searchAll(db, searches)),
    ...(await firstOf(findBadObjects(db, objects))),
    ...(await firstOf(findOrphans(db, objects))),
  ]
}

function searchAll(db: Db, searches: readonly Search[]): Promise<Violation[]> {
  const snapshot = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only')
  return snapshot.execute(async (tx) => {
    // The sums of a large ledger take longer than a request may.
    await sql`set local statement_timeout = 0`.execute(tx)
    const found: Violation[] = []
    for (const { invariant, statement } of searches) {
      const { rows } = await sql<Omit<Violation, 'invariant'>>`
        select * from (${statement}) as found limit ${MAX_FOUND}::int`.execute(tx)
      found.push(...rows.map(({ what, ids }) => ({ invariant, what, ids })))
    }
    return found
  })
}

async function firstOf(violations: AsyncIterable<Violation>): Promise<Violation[]> {
  const found: Violation[] = []
  for await (const violation of violations) {
    found.push(violation)
    if (found.length === MAX_FOUND) break
  }
  return found
}
