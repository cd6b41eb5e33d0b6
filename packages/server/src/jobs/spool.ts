import { claimNext, drain, type DrainDeps, renewSpooled } from '../features/generations/draining.ts'
import type { Deps } from '../kernel/deps.ts'
import { startLooking } from './looking.ts'

const POLL_MS = 1000
/** After a look that failed, as while the database is away. */
const PAUSE_MS = 5000
/** Generations at once, each with one picture in memory. */
const PLACES = 4

type JobDeps = DrainDeps & Pick<Deps, 'leaseDb'>

export interface SpoolJob {
  /** Takes no more, and resolves once the tries under way have ended. */
  stop(): Promise<void>
}

/** Stores what waits for its store while the process runs, and ends the generations it is of. */
export function startSpool(deps: JobDeps): SpoolJob {
  const begin = (claimed: Parameters<typeof drain>[1]): Promise<void> =>
    drain(deps, claimed).catch((error: unknown) =>
      deps.log.error({ err: error, generation: claimed.row.id }, 'a picture could not be put off'),
    )

  return startLooking(async (looking) => {
    try {
      await renewSpooled(deps)
      while (looking.size < PLACES && !looking.stopping.aborted) {
        const claimed = await claimNext(deps)
        if (claimed === undefined) break
        looking.track(begin(claimed))
      }
      return POLL_MS
    } catch (error) {
      deps.log.error({ err: error }, 'the spool could not be read')
      return PAUSE_MS
    }
  })
}
