import { type Db, transaction, type Tx } from '../../db/client.ts'
import type { Deps } from '../../kernel/deps.ts'
import * as auth from '../auth/auth.service.ts'
import type { FinishedImage } from '../images/images.service.ts'
import { runOf, surely } from './ending.ts'
import { leaveRun } from './runs.repo.ts'
import type { Job, Made } from './making.ts'
import { type Result, resultOf } from './result.ts'
import { countSpooled, insertSpooled, isSpooled } from './spool.repo.ts'

type SpoolDeps = Pick<Deps, 'urgentDb' | 'objectStore' | 'settings' | 'leases' | 'log'>

/** Before the first try to store what the store has just refused three times. */
const FIRST_RETRY_SECONDS = 1
/** Of the spool's limit; what is beyond is left to generations that are under way. */
const SHARE_OF_NEW = 0.75

/** Whether pictures may still be asked for: a store that fails may fill the spool with them. */
export async function hasRoom(
  db: Db | Tx,
  { objectStore, settings }: Pick<Deps, 'objectStore' | 'settings'>,
): Promise<boolean> {
  if (objectStore.kind === 'inline') return true
  const { bytes } = await countSpooled(db)
  return bytes <= settings.spoolMaxBytes * SHARE_OF_NEW
}

export const isUnstored = ({ unstored }: FinishedImage): boolean => unstored !== undefined

/**
 * Puts pictures aside that their store did not take, with all that the end of their generation needs,
 * and leaves that to whoever drains the spool. `full`: nothing was written; `ended`: something else has
 * ended the generation.
 */
export async function spool(
  deps: SpoolDeps,
  job: Job,
  made: Made,
): Promise<'spooled' | 'full' | 'ended'> {
  tellUnstored(deps, job, made)
  try {
    return await surely(deps, job, () => putAside(deps, job, made))
  } catch (error) {
    if (!(error instanceof SpoolFull)) throw error
    deps.log.error({ generation: job.id }, 'the spool is full: a picture is lost')
    return 'full'
  }
}

function tellUnstored({ log }: Pick<Deps, 'log'>, job: Job, { images }: Made): void {
  for (const { unstored } of images)
    if (unstored !== undefined)
      log.warn({ err: unstored.error.cause, generation: job.id }, 'a picture waits for its store')
}

const putAside = (deps: SpoolDeps, job: Job, made: Made): Promise<'spooled' | 'ended'> =>
  transaction(deps.urgentDb, async (tx) => {
    // First, in the order in which a deletion locks.
    if (!(await auth.hold(tx, job.paid.userId))) return 'ended'
    // A commit whose answer was lost has left the run before.
    if (!(await leaveRun(tx, runOf(job), deps.leases.seconds)))
      return (await isOurs(tx, made)) ? 'spooled' : 'ended'
    await refuseFull(tx, deps, made)
    const images = made.images.map(({ row, unstored }) => ({ row, body: unstored?.bytes }))
    const result = storedOf(job, resultOf(job, made))
    await insertSpooled(tx, job.id, { result, images }, FIRST_RETRY_SECONDS)
    return 'spooled'
  })

async function isOurs(tx: Tx, { images: [first] }: Made): Promise<boolean> {
  return first !== undefined && isSpooled(tx, first.row.id)
}

const storedOf = ({ paid }: Job, { text, warnings, usage, wasted }: Result) => ({
  text,
  warnings,
  usage,
  wasted,
  model: paid.model,
})

/** Those who put aside at once may pass together: no more than a process has connections for it. */
async function refuseFull(
  tx: Tx,
  { settings }: Pick<Deps, 'settings'>,
  { images }: Made,
): Promise<void> {
  const added = images.reduce((sum, { unstored }) => sum + (unstored?.bytes.byteLength ?? 0), 0)
  if ((await countSpooled(tx)).bytes + added > settings.spoolMaxBytes) throw new SpoolFull()
}

/** Rolls the transaction back. */
class SpoolFull extends Error {
  override readonly name = 'SpoolFull'
}
