import { createHash } from 'node:crypto'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import {
  countAttempt,
  deleteAttempts,
  deleteOldAttempts,
  findAttempts,
  uncountAttempt,
} from './login-attempts.repo.ts'

/** Failures in a row before the first wait. */
export const FREE_FAILURES = 5
/** Failures in a row after which only the operator lets an address log in again. */
export const MAX_FAILURES = 100

/** An attempt that was counted, before its password was compared. */
export interface Attempt {
  readonly address: string
  /** Failures in a row, if it fails. */
  readonly failures: number
}

const hashOf = (address: string): Buffer => createHash('sha256').update(address).digest()

/**
 * Counts an attempt to log in before its password is looked at, or refuses it. The count is the
 * same for an address nobody registered, and the same over all processes.
 */
export async function beginAttempt(db: Db, address: string): Promise<Attempt> {
  const hash = hashOf(address)
  const failures = await countAttempt(db, hash, { free: FREE_FAILURES, max: MAX_FAILURES })
  if (failures !== undefined) return { address, failures }
  const attempts = await findAttempts(db, hash)
  if (attempts === undefined || attempts.failures < MAX_FAILURES) {
    throw new AppError('login_throttled', undefined, {
      retryAfterSeconds: attempts?.wait_seconds ?? 1,
    })
  }
  throw new AppError(
    'login_throttled',
    'Too many failed logins: the operator of this service must unlock the account.',
    { headers: { 'x-should-retry': 'false' } },
  )
}

/** Takes back an attempt whose password could not be compared. */
export const takeBackAttempt = (db: Db, { address, failures }: Attempt): Promise<void> =>
  uncountAttempt(db, hashOf(address), failures)

/** Forgets the failures of an address, after a login that succeeded. */
export const forgetAttempts = (db: Db | Tx, address: string): Promise<void> =>
  deleteAttempts(db, hashOf(address))

/** Whoever guesses gains less than one guess in seven hours by what is forgotten. */
export const forgetOldAttempts = (db: Db, limit: number): Promise<number> =>
  deleteOldAttempts(db, MAX_FAILURES, limit)
