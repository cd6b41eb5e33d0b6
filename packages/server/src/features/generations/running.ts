import { AppError, toAppError } from '../../kernel/app-error.ts'
import type { Deps, HeldRun } from '../../kernel/deps.ts'
import { newUuid } from '../../kernel/ids.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import * as images from '../images/images.service.ts'
import { endFailed, endSurely, type Ended, findEnded } from './ending.ts'
import { type Job, type Made, make, sumUp, unrepeatable, withoutUnstored } from './making.ts'
import { resultOf } from './result.ts'
import { isUnstored, spool } from './spooling.ts'

export type RunDeps = Pick<
  Deps,
  'db' | 'urgentDb' | 'objectStore' | 'codec' | 'settings' | 'leases' | 'log' | 'metrics'
>

export const newRun = (): HeldRun => ({ owner: newUuid(), canceled: new AbortController() })

/**
 * Makes the images of a generation whose row is running in this run's name, and ends it: answers it as
 * it ended, succeeded or canceled, or throws as what it failed. `spooled`: its pictures wait for their
 * store, and whoever drains the spool ends it.
 */
export async function run(
  deps: RunDeps,
  provider: ImageProvider,
  job: Job,
): Promise<Ended | 'spooled'> {
  const { held } = deps.leases
  held.set(job.id, job.run)
  try {
    return await makeAndEnd(deps, provider, job)
  } finally {
    // A later run may be here by now, when this one lost its lease.
    if (held.get(job.id) === job.run) held.delete(job.id)
  }
}

async function makeAndEnd(
  deps: RunDeps,
  provider: ImageProvider,
  job: Job,
): Promise<Ended | 'spooled'> {
  const outcomes = await make(deps, provider, job)
  const made = sumUp(outcomes)
  if (!made.images.some(isUnstored)) return endWith(deps, job, made)
  try {
    const spooled = await spool(deps, job, made)
    if (spooled === 'spooled') {
      tellFailures(deps, job, made)
      return spooled
    }
    if (spooled === 'ended') return await findOrThrow(deps, job, made)
  } catch (error) {
    return failWith(deps, job, made, unrepeatable(error))
  }
  return endWith(deps, job, sumUp(outcomes.map(withoutUnstored)))
}

async function endWith(deps: RunDeps, job: Job, made: Made): Promise<Ended> {
  if (made.images.length === 0) return failWith(deps, job, made, tellingFailure(made))
  tellFailures(deps, job, made)
  try {
    return await keep(deps, job, made)
  } catch (error) {
    return failWith(deps, job, made, unrepeatable(error))
  }
}

function tellFailures({ log }: RunDeps, job: Job, { failures }: Made): void {
  for (const { cause, code } of failures)
    log.warn({ err: cause, code, generation: job.id }, 'one image of several could not be made')
}

/** Ends the generation with the pictures that the provider was paid for. */
async function keep(deps: RunDeps, job: Job, made: Made): Promise<Ended> {
  return asEnded(deps, made, await endSurely(deps, job, resultOf(job, made)))
}

/** The end of a generation that was found ended when its pictures were to be put aside. */
const findOrThrow = async (deps: RunDeps, job: Job, made: Made): Promise<Ended> =>
  asEnded(deps, made, await findEnded(deps, job, made))

async function asEnded(deps: RunDeps, made: Made, ended: Ended | undefined): Promise<Ended> {
  if (ended?.isOurs === true) return ended
  // Deleted or ended meanwhile: nobody can reach the objects any more.
  await images.deleteObjects(
    deps,
    made.images.map(({ row }) => row),
  )
  if (ended !== undefined) return ended
  throw new AppError('unavailable', 'The generation was ended while it ran; nothing was charged.')
}

/** Of several failures one that a repeat would only buy again, else the first. */
function tellingFailure({ failures }: Made): AppError {
  const final = failures.find(({ headers, row }) => !row.retryable || 'x-should-retry' in headers)
  return final ?? failures[0] ?? new AppError('internal')
}

/** Ends the generation as failed; a failure costs the account nothing, whatever it cost us. */
async function failWith(deps: RunDeps, job: Job, made: Made, error: unknown): Promise<Ended> {
  const appError = toAppError(error)
  try {
    await endFailed(deps, job, made, appError)
  } catch (cause) {
    deps.log.error({ err: cause, generation: job.id }, 'a failed generation could not be recorded')
  }
  // Its calls were ended because somebody canceled it.
  const canceled = job.run.canceled.signal.aborted ? await findEnded(deps, job, made) : undefined
  if (canceled !== undefined) return canceled
  throw appError
}
