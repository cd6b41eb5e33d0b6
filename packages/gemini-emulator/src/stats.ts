import type { LoggedRequest } from './request-log.ts'
import type { Script } from './script.ts'

export interface EmulatorStats {
  /** Requests under way, and the most there have been at once. */
  active: number
  maxActive: number
  /** Requests begun since the start or the last clearing. */
  total: number
  /** Requests the caller broke off. */
  aborted: number
  /** Scenarios waiting in the queue. */
  queued: number
}

export interface StatsCounter {
  opened: () => void
  closed: (entry: LoggedRequest) => void
  read: () => EmulatorStats
  clear: () => void
  idle: () => Promise<void>
}

export function createStats(script: Script): StatsCounter {
  let active = 0
  let maxActive = 0
  let total = 0
  let aborted = 0
  let waiting: (() => void)[] = []

  return {
    opened: () => {
      active += 1
      total += 1
      maxActive = Math.max(maxActive, active)
    },
    closed: (entry) => {
      active -= 1
      if (entry.aborted) aborted += 1
      if (active > 0) return
      for (const resolve of waiting) resolve()
      waiting = []
    },
    read: () => ({ active, maxActive, total, aborted, queued: script.queued() }),
    clear: () => {
      maxActive = active
      total = 0
      aborted = 0
    },
    idle: () =>
      active === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)),
  }
}
