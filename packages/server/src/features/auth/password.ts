import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import type { Passwords } from '../../kernel/deps.ts'
import { isCommonPassword } from './common-passwords.ts'
import { createSlots } from './slots.ts'

/** What bcrypt reads of a password; the rest would be ignored. */
const MAX_BYTES = 72

export interface PasswordProblem {
  readonly code: 'password_too_short' | 'password_too_long' | 'password_too_common'
  readonly message: string
}

/** The one form that is measured, hashed and compared: é typed as one or two characters is the same. */
export const normalisePassword = (password: string) => password.normalize('NFC')

const isTooLong = (normalised: string) => Buffer.byteLength(normalised, 'utf8') > MAX_BYTES

/** Why a new password is refused, or undefined. */
export async function checkNewPassword(
  password: string,
  rules: { minLength: number; email: string },
): Promise<PasswordProblem | undefined> {
  const normalised = normalisePassword(password)
  if (isTooLong(normalised))
    return problem('password_too_long', `The password is longer than ${MAX_BYTES} bytes of UTF-8.`)
  if (Array.from(normalised).length < rules.minLength)
    return problem(
      'password_too_short',
      `The password needs at least ${rules.minLength} characters.`,
    )
  const why = await whyGuessable(normalised.toLowerCase(), rules.email)
  return why === undefined ? undefined : problem('password_too_common', why)
}

const problem = (code: PasswordProblem['code'], message: string): PasswordProblem => ({
  code,
  message,
})

async function whyGuessable(password: string, email: string): Promise<string | undefined> {
  const address = email.trim().normalize('NFC').toLowerCase()
  if (new Set(password).size === 1) return 'The password repeats one character.'
  if (password === 'nanobanana') return 'The password is the name of this service.'
  if (password === address || password === address.split('@')[0])
    return 'The password is your email address.'
  if (await isCommonPassword(password)) return 'The password is among the 10,000 most common ones.'
  return undefined
}

export interface PasswordHasherOptions {
  /** Rounds as a power of two. */
  readonly cost: number
  /** Default: `bcryptSlots()`. */
  readonly maxInFlight?: number
  /** Default 32. */
  readonly maxQueued?: number
  /** Milliseconds, default 2000. */
  readonly maxWaitMs?: number
  /** Tests count its calls. */
  readonly bcrypt?: Pick<typeof bcrypt, 'hash' | 'compare'>
}

/** How many bcrypt calls may run at once: one thread of libuv's pool stays free for files and DNS. */
export function bcryptSlots(threadPoolSize = 4, cores = availableParallelism()): number {
  return Math.max(1, Math.min(Math.max(2, cores - 1), threadPoolSize - 1))
}

export function createPasswordHasher(options: PasswordHasherOptions): Passwords {
  const { cost, maxInFlight = bcryptSlots(), maxQueued = 32, maxWaitMs = 2000 } = options
  const { hash, compare } = options.bcrypt ?? bcrypt
  const slots = createSlots({ maxInFlight, maxQueued, maxWaitMs })
  // Made now, or the first unknown address would take twice as long as a known one.
  const dummy = hash(randomBytes(16).toString('hex'), cost)
  dummy.catch(() => {})

  return {
    async hash(password) {
      const normalised = normalisePassword(password)
      if (isTooLong(normalised)) throw new RangeError('bcrypt would cut this password')
      return slots.run(() => hash(normalised, cost))
    },
    async verify(password, stored) {
      const normalised = normalisePassword(password)
      const target = stored ?? (await dummy)
      const equal = await slots.run(() => compare(normalised, target))
      // bcrypt compares 72 bytes only: a longer password that starts right would pass.
      const ok = equal && stored !== null && !isTooLong(normalised)
      return { ok, needsRehash: ok && costOf(stored) < cost }
    },
  }
}

const costOf = (hash: string) => Number(/^\$2[aby]\$(\d\d)\$/.exec(hash)?.[1] ?? 0)
