import { setTimeout as sleep } from 'node:timers/promises'
import { claimNext, drain, type DrainDeps, renewSpooled } from '../features/generations/draining.ts'
import type { Deps } from '../kernel/deps.ts'

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
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  let waking = new AbortController()

  function begin(claimed: Parameters<typeof drain>[1]): void {
    const work = drain(deps, claimed)
      .catch((error: unknown) =>
        deps.log.error(
          { err: error, generation: claimed.row.id },
          'a picture could not be put off',
        ),
      )
      .finally(() => {
        running.delete(work)
        waking.abort()
      })
    running.add(work)
  }

  /** Milliseconds until the next look. */
  async function look(): Promise<number> {
    try {
      await renewSpooled(deps)
      while (running.size < PLACES && !stopping.signal.aborted) {
        const claimed = await claimNext(deps)
        if (claimed === undefined) break
        begin(claimed)
      }
      return POLL_MS
    } catch (error) {
      deps.log.error({ err: error }, 'the spool could not be read')
      return PAUSE_MS
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      waking = new AbortController()
      const pauseMs = await look()
      const signal = AbortSignal.any([stopping.signal, waking.signal])
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  const ran = run()
  return {
    async stop() {
      stopping.abort()
      await ran
      await Promise.all(running)
    },
  }
}
