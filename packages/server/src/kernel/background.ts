import type { Log } from './log.ts'

/** Work that must not delay or fail a request, yet must end before the database closes. */
export interface Background {
  run(name: string, work: () => Promise<unknown>): void
  /** Resolves when nothing is running any more. */
  drain(): Promise<void>
}

export function createBackground(log: Log): Background {
  const running = new Set<Promise<void>>()
  return {
    run(name, work) {
      const task = (async () => void (await work()))()
        .catch((error: unknown) => log.error({ err: error, task: name }, 'background task failed'))
        .finally(() => running.delete(task))
      running.add(task)
    },
    async drain() {
      while (running.size > 0) await Promise.all(running)
    },
  }
}
