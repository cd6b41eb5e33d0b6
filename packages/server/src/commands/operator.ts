import { openDeps, type OperatorDeps } from '../app.ts'
import type { Config } from '../config.ts'

/** Runs an operator's command on the database, without opening a port. */
export async function withDatabase<T>(
  config: Config,
  work: (deps: OperatorDeps) => Promise<T>,
): Promise<T> {
  const { deps, close } = await openDeps(config)
  try {
    return await work(deps)
  } finally {
    await close()
  }
}
