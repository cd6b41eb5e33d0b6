import type { Config } from '../config.ts'
import { sweep } from '../features/sweeping/sweeping.service.ts'
import { createLog } from '../kernel/log.ts'
import { withDatabase } from './operator.ts'
import type { Io } from './io.ts'

/** Removes now what the service removes by and by; 1 when a part of it failed. */
export async function sweepCommand(config: Config, io: Io): Promise<number> {
  const log = createLog({ level: config.log.level })
  const swept = await withDatabase(config, async ({ db, openStores }) =>
    sweep({ db, log, objectStore: await openStores() }, new AbortController().signal),
  )
  for (const { task, removed, error } of swept) {
    if (error === undefined) io.print(`${task}: ${removed} removed`)
    else io.fail(`${task}: failed: ${error instanceof Error ? error.message : String(error)}`)
  }
  return swept.some(({ error }) => error !== undefined) ? 1 : 0
}
