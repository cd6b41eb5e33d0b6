import { setTimeout as sleep } from 'node:timers/promises'

export interface Looking {
  /** Aborted once it was told to stop. */
  readonly stopping: AbortSignal
  /** Looks again at once. */
  wake(): void
  /** Work of a look, which may outlast it; the next look comes as soon as its place is free. */
  track(work: Promise<void>): void
  /** How much of it is under way. */
  readonly size: number
  /** Looks no more, and resolves once what is under way has ended. */
  stop(): Promise<void>
}

/** Calls `look` again and again; it answers after how many milliseconds the next one is due. */
export function startLooking(look: (looking: Looking) => Promise<number>): Looking {
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  let waking = new AbortController()
  const wake = () => waking.abort()

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      waking = new AbortController()
      const pauseMs = await look(looking)
      const signal = AbortSignal.any([stopping.signal, waking.signal])
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  const looking: Looking = {
    stopping: stopping.signal,
    wake,
    track(work) {
      const tracked = work.finally(() => {
        running.delete(tracked)
        wake()
      })
      running.add(tracked)
    },
    get size() {
      return running.size
    },
    async stop() {
      stopping.abort()
      await ran
      await Promise.all(running)
    },
  }
  const ran = run()
  return looking
}
