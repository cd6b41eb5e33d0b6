import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../kernel/log.ts'

/** A process that serves or works, as a signal ends it. */
export interface Stoppable {
  readonly deps: { readonly log: Log }
  /** Says from now on that it is about to end; it serves on. */
  drain(): void
  /** Takes nothing new; resolves when all that was begun has ended. */
  finish(): Promise<void>
  /** Leaves what still runs here to other processes. */
  release(): Promise<void>
  close(): Promise<void>
}

export interface StopTimes {
  /** How long others may take to hear that it ends. */
  readonly drainDelayMs: number
  /** How long all of it may take, counted from the signal. */
  readonly drainTimeoutMs: number
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** Stops in order at the first signal, and at once at the second; resolves once it is closed. */
export function stopOnSignal(service: Stoppable, times: StopTimes): Promise<void> {
  return new Promise((resolve, reject) => {
    const hurry = new AbortController()
    let stopping = false
    const onSignal = (signal: NodeJS.Signals) => {
      service.deps.log.info({ signal }, stopping ? 'stopping at once' : 'draining')
      if (stopping) return hurry.abort()
      stopping = true
      stop(service, times, hurry.signal).then(resolve, reject)
    }
    for (const signal of SIGNALS) process.on(signal, onSignal)
  })
}

async function stop(service: Stoppable, times: StopTimes, hurry: AbortSignal): Promise<void> {
  const late = AbortSignal.any([hurry, AbortSignal.timeout(times.drainTimeoutMs)])
  service.drain()
  await sleep(times.drainDelayMs, undefined, { signal: late }).catch(() => {})
  if (await endsBefore(late, service.finish())) return service.close()
  await leave(service)
}

async function endsBefore(late: AbortSignal, work: Promise<void>): Promise<boolean> {
  const isLate = new Promise<boolean>((resolve) => {
    const end = () => resolve(false)
    if (late.aborted) setImmediate(end)
    else late.addEventListener('abort', end, { once: true })
  })
  return Promise.race([work.then(() => true), isLate])
}

/** Without closing: whatever still runs would hold that up, or meet a database that is closed. */
async function leave({ deps: { log }, release }: Stoppable): Promise<void> {
  log.warn('what still runs is left to other processes')
  try {
    await release()
    process.exit(0)
  } catch (error) {
    log.error(
      { err: error },
      'what still runs could not be handed over; its leases have to run out',
    )
    process.exit(1)
  }
}
