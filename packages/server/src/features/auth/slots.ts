import { AppError } from '../../kernel/app-error.ts'

export interface SlotOptions {
  /** Tasks that run at once. */
  readonly maxInFlight: number
  /** Tasks that wait for one of them. */
  readonly maxQueued: number
  /** Milliseconds that a task waits before it is refused. */
  readonly maxWaitMs: number
}

const overloaded = () => new AppError('overloaded', undefined, { retryAfterSeconds: 1 })

/** Runs tasks, a bounded number at once, first come first served; `overloaded` beyond that. */
export function createSlots({ maxInFlight, maxQueued, maxWaitMs }: SlotOptions) {
  const waiting: Array<() => void> = []
  let running = 0

  const enter = async () => {
    if (running < maxInFlight) {
      running++
      return
    }
    if (waiting.length >= maxQueued) throw overloaded()
    await new Promise<void>((resolve, reject) => {
      const start = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(start), 1)
        reject(overloaded())
      }, maxWaitMs)
      waiting.push(start)
    })
  }

  // A slot goes straight to the next in line, so that a newcomer cannot overtake.
  const leave = () => {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }

  return {
    async run<T>(task: () => Promise<T>): Promise<T> {
      await enter()
      try {
        return await task()
      } finally {
        leave()
      }
    },
  }
}
