import type { Config } from '../config.ts'
import { withDatabase } from './operator.ts'
import type { Io } from './io.ts'

/** Brings the schema up to date and says what it ran. */
export async function migrateCommand(config: Config, io: Io): Promise<number> {
  const ran = await withDatabase(config, async (deps) => deps.migrated)
  io.print(ran.length === 0 ? 'The schema is up to date.' : `Ran ${ran.join(', ')}.`)
  return 0
}
