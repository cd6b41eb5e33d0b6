/** More work waits than may: answered 503 `overloaded`. */
export class OverloadedError extends Error {
  override name = 'OverloadedError'
  readonly retryAfterSeconds = 1
}

export interface SlotOptions {
  /** Tasks that run at once. */
  readonly maxInFlight: number
  /** Tasks that wait for one of them. */
  readonly maxQueued: number
  /** Milliseconds that a task waits before it is refused. */
  readonly maxWaitMs: number
}

/** Runs tasks, a bounded number at once, first come first served. */
export function createSlots({ maxInFlight, maxQueued, maxWaitMs }: SlotOptions) {
  const waiting: Array<() => void> = []
  let running = 0

  const enter = async () => {
    if (running < maxInFlight) {
      running++
      return
    }
    if (waiting.length >= maxQueued) throw new OverloadedError('too many tasks wait')
    await new Promise<void>((resolve, reject) => {
      const start = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(start), 1)
        reject(new OverloadedError(`no slot within ${maxWaitMs} ms`))
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
