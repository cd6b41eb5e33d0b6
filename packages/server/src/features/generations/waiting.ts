import { setTimeout as sleep } from 'node:timers/promises'
import type { GenerationStatus } from '@nanobanana/shared'
import type { Deps } from '../../kernel/deps.ts'
import { findStatus } from './generations.repo.ts'

/** Between two looks that no message has asked for: one may be lost. */
const LOOK_MS = 2000

export const hasEnded = (status: GenerationStatus): boolean =>
  status !== 'queued' && status !== 'running'

/**
 * Waits until a generation has ended, in whatever process, or until the time is over. Resolves to its
 * status then; undefined: it is gone. A signal ends the wait early.
 */
export async function waitForEnd(
  deps: Pick<Deps, 'db' | 'notifier'>,
  id: string,
  ms: number,
  signal?: AbortSignal,
): Promise<GenerationStatus | undefined> {
  const deadline = performance.now() + ms
  await using news = openNews(deps, id)
  for (;;) {
    const status = await findStatus(deps.db, id)
    const left = deadline - performance.now()
    const isOver = left <= 0 || signal?.aborted === true
    if (status === undefined || hasEnded(status) || isOver) return status
    await news.wait(Math.min(left, LOOK_MS), signal)
  }
}

/** What is told of a generation from now on: nothing between two looks is missed. */
export function openNews({ notifier }: Pick<Deps, 'notifier'>, id: string) {
  let wake: (() => void) | undefined
  let hasNews = false
  const stop = notifier.follow(id, () => {
    hasNews = true
    wake?.()
  })
  return {
    /** Resolves once something was told since it last did, or after so many milliseconds. */
    async wait(ms: number, signal?: AbortSignal): Promise<void> {
      const over = new AbortController()
      const signals = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
      if (!hasNews) {
        const told = new Promise<void>((resolve) => (wake = resolve))
        await Promise.race([told, sleep(ms, undefined, { signal: signals }).catch(() => {})])
      }
      over.abort()
      hasNews = false
    },
    [Symbol.asyncDispose]: async () => stop(),
  }
}
