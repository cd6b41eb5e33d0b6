import { createHash } from 'node:crypto'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import {
  countAttempt,
  deleteAttempts,
  findAttempts,
  uncountAttempt,
} from './login-attempts.repo.ts'

/** Failures in a row before the first wait. */
export const FREE_FAILURES = 5
/** Failures in a row after which only the operator lets an address log in again. */
export const MAX_FAILURES = 100

const hashOf = (address: string): Buffer => createHash('sha256').update(address).digest()

/**
 * Counts an attempt to log in before its password is looked at, or refuses it. The count is the
 * same for an address nobody registered, and the same over all processes.
 */
export async function beginAttempt(db: Db, address: string): Promise<void> {
  const hash = hashOf(address)
  if (await countAttempt(db, hash, { free: FREE_FAILURES, max: MAX_FAILURES })) return
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
export const takeBackAttempt = (db: Db, address: string): Promise<void> =>
  uncountAttempt(db, hashOf(address))

/** Forgets the failures of an address, after a login that succeeded. */
export const forgetAttempts = (db: Db | Tx, address: string): Promise<void> =>
  deleteAttempts(db, hashOf(address))
