import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { Holder } from '../../kernel/slots.ts'
import { countQueued } from './beginning.repo.ts'
import { countRunning } from './runs.repo.ts'
import { hasRoom } from './spooling.ts'

type Limits = Pick<Deps, 'settings'>
type QueueLimits = Limits & Pick<Deps, 'crowding'>

/** Of the places for generations whose callers wait, for one account. */
const MAX_SHARE = 0.75

export const runHolder = (userId: string): Holder => ({
  kind: 'account',
  name: userId,
  share: MAX_SHARE,
})

const RETRY_AFTER_SECONDS = 5
const RETRY_AFTER_STORE_SECONDS = 15

/**
 * Refuses where too many wait, of the account or of all. Parallel requests may pass it together: it
 * bounds what waits, and no money hangs on it.
 */
export async function admitToQueue(
  db: Db | Tx,
  { settings, crowding }: QueueLimits,
  userId: string,
): Promise<void> {
  const refuse = (make: () => AppError): never => {
    crowding.note(userId, make)
    throw make()
  }
  const { all, ofUser } = await countQueued(db, userId)
  if (ofUser >= settings.queueMaxPerAccount) refuse(() => tooMany(settings.queueMaxPerAccount))
  if (all >= settings.queueMax) refuse(queueFull)
}

const tooMany = (limit: number): AppError =>
  new AppError(
    'rate_limited',
    `The account may have ${limit} generations waiting at the same time.`,
    { retryAfterSeconds: RETRY_AFTER_SECONDS },
  )

const queueFull = (): AppError =>
  new AppError('overloaded', 'Too many generations are waiting.', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })

/** Refuses while so much waits for the store that a picture, once paid for, might find no place. */
export async function admitToStore(
  deps: Pick<Deps, 'db' | 'objectStore' | 'settings'>,
): Promise<void> {
  if (await hasRoom(deps.db, deps)) return
  throw new AppError('unavailable', 'The image store cannot be used right now.', {
    retryAfterSeconds: RETRY_AFTER_STORE_SECONDS,
  })
}

/** Refuses a key that has as many generations running as it may. */
export async function admitToRun(
  tx: Tx,
  { settings }: Limits,
  principal: Principal,
  id: string,
): Promise<void> {
  if (principal.kind !== 'key') return
  const limit = principal.maxConcurrency ?? settings.keyConcurrency
  if ((await countRunning(tx, principal.keyId, id)) < limit) return
  throw new AppError(
    'concurrency_limited',
    `The API key may have ${limit} generations running at the same time.`,
    { retryAfterSeconds: 1 },
  )
}
