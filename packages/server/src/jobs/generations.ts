import { setTimeout as sleep } from 'node:timers/promises'
import { runTaken } from '../features/generations/working.ts'
import { takeNext } from '../features/generations/taking.ts'
import type { Deps } from '../kernel/deps.ts'

/** A look that no message has asked for: one may be lost, and a delayed one comes due without any. */
const LOOK_MS = 500
/** After the database failed. */
const PAUSE_MS = 1000

export interface Job {
  /** Takes nothing more, and resolves once what was begun has ended; may be called again. */
  stop(): Promise<void>
}

/** Runs what waits in the queue, so many at once. */
export function startWorkers(deps: Deps, count: number): Job {
  const stopped = new AbortController()
  const { signal } = stopped
  const stopping = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const running = new Set<Promise<void>>()
  let wake = () => {}
  let hasNews = true
  const news = () => {
    hasNews = true
    wake()
  }
  const unsubscribe = deps.notifier.subscribe('queue', news)
  const rest = async (ms: number) => {
    if (hasNews) return
    const told = new Promise<void>((resolve) => (wake = resolve))
    const over = new AbortController()
    const either = AbortSignal.any([over.signal, signal])
    await Promise.race([told, sleep(ms, undefined, { signal: either }).catch(() => {})])
    over.abort()
  }
  const begin = async (): Promise<boolean> => {
    hasNews = false
    const taken = await takeNext(deps)
    if (taken === undefined) return false
    const run = runTaken(deps, taken).finally(() => running.delete(run))
    running.add(run)
    return true
  }
  const loop = async () => {
    while (!signal.aborted) {
      try {
        if (running.size >= count) await Promise.race([...running, stopping])
        else if (!(await begin())) await rest(LOOK_MS)
      } catch (error) {
        deps.log.warn({ err: error }, 'the queue could not be read')
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
      }
    }
  }
  const looping = loop()
  return {
    async stop() {
      unsubscribe()
      stopped.abort()
      await looping
      await Promise.all(running)
    },
  }
}
