import type { Config } from '../config.ts'
import { findViolations } from '../check/check.ts'
import { INVARIANTS, type Violation } from '../check/violation.ts'
import type { Io } from './io.ts'
import { withDatabase } from './operator.ts'

/** Reads the whole ledger and store; 1 when something in them contradicts what is promised. */
export async function checkCommand(
  config: Config,
  flags: { json?: boolean },
  io: Io,
): Promise<number> {
  const violations = await withDatabase(config, async ({ db, openStores }) =>
    findViolations(db, await openStores()),
  )
  if (flags.json === true) io.print(JSON.stringify({ violations }, null, 2))
  else tell(violations, io)
  return violations.length === 0 ? 0 : 1
}

function tell(violations: readonly Violation[], { print, fail }: Io): void {
  for (const { invariant, what, ids } of violations) {
    fail(`${invariant} (${INVARIANTS[invariant]}): ${what}. ${ids.join(' ')}`)
  }
  if (violations.length === 0) print('The ledger and the images are in order.')
  else fail(`${violations.length} ${violations.length === 1 ? 'violation' : 'violations'} found.`)
}
