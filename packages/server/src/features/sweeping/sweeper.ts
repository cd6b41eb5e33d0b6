import { type SweepDeps, sweepDue } from './sweeping.service.ts'

/** Spares a start the work, and lets several that begin together take turns. */
const FIRST_MS = 60_000
/** How often it is asked what is due; a failed task is tried again then. */
const INTERVAL_MS = 10 * 60_000
const JITTER = 0.2

/** Sweeps while the process runs; the function it returns ends that, after the batch in hand. */
export function startSweeper(deps: SweepDeps): () => Promise<void> {
  const stopping = new AbortController()
  let sweeping = Promise.resolve()
  let timer = plan(FIRST_MS)

  function plan(delayMs: number): NodeJS.Timeout {
    const jitteredMs = delayMs * (1 + JITTER * (Math.random() - 0.5))
    const begin = () => void (sweeping = sweepOnce())
    return setTimeout(begin, jitteredMs).unref()
  }

  async function sweepOnce(): Promise<void> {
    await sweepDue(deps, stopping.signal)
    if (!stopping.signal.aborted) timer = plan(INTERVAL_MS)
  }

  return async () => {
    stopping.abort()
    clearTimeout(timer)
    await sweeping
  }
}
