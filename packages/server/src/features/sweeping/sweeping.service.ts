import type { Deps } from '../../kernel/deps.ts'
import * as auth from '../auth/auth.service.ts'
import * as generations from '../generations/generations.service.ts'
import * as images from '../images/images.service.ts'
import * as webhooks from '../webhooks/webhooks.service.ts'
import { claimTask, releaseTask } from './sweeping.repo.ts'

/** Without a limiter, as in a command, its windows wait for the service's own sweep. */
export type SweepDeps = Pick<Deps, 'db' | 'objectStore' | 'log'> &
  Partial<Pick<Deps, 'rateLimiter'>>

interface Task {
  readonly name: string
  readonly everySeconds: number
  /** Resolves to how many it removed; stops early, between two batches, when told to. */
  run(deps: SweepDeps, signal: AbortSignal): Promise<number>
}

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** In this order; each stands by itself, so that one which fails keeps no other from its turn. */
const TASKS: readonly Task[] = [
  { name: 'doomed objects', everySeconds: 10 * MINUTE, run: images.sweepDoomed },
  { name: 'inline objects', everySeconds: HOUR, run: sweepStore('inline') },
  { name: 'disk objects', everySeconds: HOUR, run: sweepStore('disk') },
  { name: 's3 objects', everySeconds: HOUR, run: sweepStore('s3') },
  { name: 'idempotency records', everySeconds: HOUR, run: generations.sweepRecords },
  { name: 'generation events', everySeconds: HOUR, run: generations.sweepEvents },
  { name: 'webhook deliveries', everySeconds: HOUR, run: webhooks.sweep },
  { name: 'revoked tokens', everySeconds: HOUR, run: auth.sweepTokens },
  { name: 'login attempts', everySeconds: DAY, run: auth.sweepAttempts },
  {
    name: 'rate limits',
    everySeconds: 10 * MINUTE,
    run: async ({ rateLimiter }) => rateLimiter?.sweep() ?? 0,
  },
]

export interface Swept {
  readonly task: string
  readonly removed: number
  /** Why it ended early; what is left goes the next time. */
  readonly error?: unknown
}

/** Removes what nobody needs any more, now. Safe to stop, to repeat and to run twice at once. */
export async function sweep(deps: SweepDeps, signal: AbortSignal): Promise<Swept[]> {
  const swept: Swept[] = []
  for (const task of TASKS) if (!signal.aborted) swept.push(await runTask(deps, task, signal))
  return swept
}

/** The same for each task that no process has begun for its time; never rejects. */
export async function sweepDue(deps: SweepDeps, signal: AbortSignal): Promise<void> {
  for (const task of TASKS) {
    try {
      if (signal.aborted || !(await claimTask(deps.db, task.name, task.everySeconds))) continue
      const { error } = await runTask(deps, task, signal)
      if (error !== undefined || signal.aborted) await releaseTask(deps.db, task.name)
    } catch (error) {
      deps.log.error({ err: error, task: task.name }, 'a sweep could not begin')
    }
  }
}

async function runTask(deps: SweepDeps, task: Task, signal: AbortSignal): Promise<Swept> {
  try {
    const removed = await task.run(deps, signal)
    if (removed > 0) deps.log.info({ task: task.name, removed }, 'swept')
    return { task: task.name, removed }
  } catch (error) {
    deps.log.error({ err: error, task: task.name }, 'a sweep failed; it goes on the next time')
    return { task: task.name, removed: 0, error }
  }
}

function sweepStore(kind: Deps['objectStore']['kind']): Task['run'] {
  return (deps, signal) => images.sweepStore(deps, kind, signal)
}
