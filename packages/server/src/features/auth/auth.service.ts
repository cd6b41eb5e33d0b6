import { timingSafeEqual, createHash } from 'node:crypto'
import type { AccessToken, Account, LoginInput, RegisterInput } from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import type { AuditAction } from '../../db/schema.ts'
import { AppError } from '../../kernel/app-error.ts'
import { recordEvent, recordOnceAMinute } from '../../kernel/audit.repo.ts'
import { deleteInBatches } from '../../kernel/batches.ts'
import { hostBucket, networkBucket } from '../../kernel/client-address.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid, parseId } from '../../kernel/ids.ts'
import type { SessionPrincipal } from '../../kernel/principal.ts'
import {
  buryUser,
  changeUser,
  deleteEndedTokens,
  findUser,
  findUserByEmail,
  hasLiveSession,
  holdUser,
  insertUser,
  lockUser,
  raiseTokenVersion,
  revokeToken,
  updateHash,
  updatePassword,
  type UserChange,
  type UserRow,
} from './auth.repo.ts'
import { normaliseEmail } from './email.ts'
import {
  type Attempt,
  beginAttempt,
  forgetAttempts,
  forgetOldAttempts,
  takeBackAttempt,
} from './login-attempts.ts'
import { checkNewPassword, normalisePassword } from './password.ts'
import { signToken, TOKEN_SECONDS, verifyToken } from './tokens.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

type RegisterDeps = Pick<Deps, 'db' | 'passwords' | 'rateLimiter' | 'settings'>

export async function register(
  deps: RegisterDeps,
  client: { ip: string },
  input: RegisterInput,
): Promise<Account> {
  checkRegistrationIsOpen(deps, input.registration_token)
  const email = requireEmail(input.email)
  const password = await requireNewPassword(deps, 'password', input.password, email.normalised)
  await limitRegistrations(deps, client.ip)
  const row = {
    id: newUuid(),
    email: email.normalised,
    email_display: email.display,
    password_hash: await deps.passwords.hash(password),
    name: input.name ?? null,
  }
  const user = await transaction(deps.db, async (tx) => {
    const inserted = await insertUser(tx, row)
    if (inserted === undefined) throw new AppError('email_taken', undefined, { param: 'email' })
    await recordEvent(tx, { action: 'account.registered', userId: row.id })
    return inserted
  })
  return renderAccount(user)
}

export async function login(
  deps: Pick<
    Deps,
    'db' | 'passwords' | 'rateLimiter' | 'settings' | 'secrets' | 'background' | 'now'
  >,
  client: { ip: string },
  input: LoginInput,
): Promise<AccessToken> {
  await limitLogins(deps, client.ip)
  const address = normaliseEmail(input.email)?.normalised
  const attempt = address === undefined ? undefined : await beginAttempt(deps.db, address)
  const user = address === undefined ? undefined : await findUserByEmail(deps.db, address)
  const { password } = input
  const { ok, needsRehash } = await comparePassword(deps, { attempt, user, password })
  if (!ok || user === undefined || user.disabled_at !== null) {
    // Not before the answer, whose time would tell whether there is such an account.
    deps.background.run('record a failed login', () => recordFailure(deps, user, ok))
    throw new AppError('invalid_credentials')
  }
  await transaction(deps.db, async (tx) => {
    await forgetAttempts(tx, user.email ?? '')
    await recordEvent(tx, { action: 'login.succeeded', userId: user.id })
  })
  if (needsRehash) deps.background.run('rehash password', () => rehash(deps, user, password))
  const access_token = await signToken(
    deps.secrets,
    { sub: idOf('user', user.id), jti: crypto.randomUUID(), ver: user.token_version },
    deps.now(),
  )
  return { access_token, token_type: 'bearer', expires_in: TOKEN_SECONDS }
}

/** Who a token is, or undefined for every token that does not work, whatever the reason. */
export async function authenticate(
  deps: Pick<Deps, 'db' | 'secrets' | 'now'>,
  token: string,
): Promise<SessionPrincipal | undefined> {
  const claims = await verifyToken(deps.secrets, token, deps.now())
  if (claims === undefined || !UUID.test(claims.jti)) return undefined
  const userId = parseId('user', claims.sub)
  if (userId === undefined) return undefined
  const live = await hasLiveSession(deps.db, { userId, version: claims.ver, jti: claims.jti })
  return live
    ? {
        kind: 'session',
        userId,
        jti: claims.jti,
        tokenVersion: claims.ver,
        expiresAt: claims.expiresAt,
      }
    : undefined
}

/** Ends this one token. */
export const logout = (deps: Pick<Deps, 'db'>, session: SessionPrincipal): Promise<void> =>
  transaction(deps.db, async (tx) => {
    if (!(await revokeToken(tx, session))) return
    await recordEvent(tx, { action: 'session.ended', userId: session.userId })
  })

/** Ends every token of the account. */
export const logoutAll = (deps: Pick<Deps, 'db'>, { userId }: SessionPrincipal): Promise<void> =>
  transaction(deps.db, async (tx) => {
    await raiseTokenVersion(tx, userId)
    await recordEvent(tx, { action: 'sessions.ended', userId })
  })

/** The account's row, or `invalid_token` once it is gone. */
export async function getUser(deps: Pick<Deps, 'db'>, userId: string): Promise<UserRow> {
  const user = await findUser(deps.db, userId)
  if (user === undefined) throw new AppError('invalid_token')
  return user
}

/** Checks the password of someone already logged in, under the limits of a login. */
export async function confirmPassword(
  deps: Pick<Deps, 'db' | 'passwords' | 'rateLimiter' | 'settings'>,
  client: { ip: string },
  check: { user: UserRow; password: string; param: string },
): Promise<void> {
  await limitLogins(deps, client.ip)
  const { user, password, param } = check
  const address = user.email ?? ''
  const attempt = await beginAttempt(deps.db, address)
  const { ok } = await comparePassword(deps, { attempt, user, password })
  if (!ok) {
    await recordEvent(deps.db, { action: 'password.refused', userId: user.id })
    throw new AppError('invalid_credentials', 'The password is wrong.', { param })
  }
  await forgetAttempts(deps.db, address)
}

/** The hash of a new password for the account, or why it is refused. */
export async function hashNewPassword(
  deps: Pick<Deps, 'passwords' | 'settings'>,
  user: UserRow,
  newPassword: string,
): Promise<string> {
  const password = await requireNewPassword(deps, 'new_password', newPassword, user.email ?? '')
  return deps.passwords.hash(password)
}

/** Replaces a password that `confirmPassword` has checked; every token of the account ends. */
export async function replacePassword(tx: Tx, user: UserRow, newHash: string): Promise<void> {
  const { id: userId, token_version: version } = user
  const changed = await updatePassword(tx, { userId, version, newHash })
  // Another change won the race, so what was confirmed may no longer be the password.
  if (!changed) throw new AppError('invalid_credentials')
  await recordEvent(tx, { action: 'password.changed', userId })
}

/** Keeps the account from being deleted while the transaction lasts; false when it is gone. */
export const hold = (tx: Tx, userId: string): Promise<boolean> => holdUser(tx, userId)

/**
 * Keeps everybody else from the account while the transaction lasts; false when it is gone, or when
 * every token that was let in before has ended.
 */
export const lock = (tx: Tx, session: Pick<SessionPrincipal, 'userId' | 'tokenVersion'>) =>
  lockUser(tx, session.userId, session.tokenVersion)

/** Leaves a tombstone of the account. */
export async function bury(tx: Tx, userId: string): Promise<void> {
  await buryUser(tx, userId)
  await recordEvent(tx, { action: 'account.deleted', userId })
}

/** Forgets which tokens were ended, once they have ended by themselves; answers how many. */
export const sweepTokens = (deps: Pick<Deps, 'db'>, signal: AbortSignal): Promise<number> =>
  deleteInBatches((limit) => deleteEndedTokens(deps.db, limit), signal)

/** Forgets failed logins of long ago; answers of how many addresses. */
export const sweepAttempts = (deps: Pick<Deps, 'db'>, signal: AbortSignal): Promise<number> =>
  deleteInBatches((limit) => forgetOldAttempts(deps.db, limit), signal)

export const renderAccount = (user: UserRow): Account => ({
  id: idOf('user', user.id),
  email: user.email_display ?? '',
  name: user.name,
  created_at: user.created_at.toISOString(),
})

// The operator's commands name an account by its address; false: there is none.

export async function resetPassword(
  deps: Pick<Deps, 'db' | 'passwords' | 'settings'>,
  email: string,
  newPassword: string,
): Promise<boolean> {
  const address = requireEmail(email).normalised
  const password = await requireNewPassword(deps, 'password', newPassword, address)
  const passwordHash = await deps.passwords.hash(password)
  return change(deps, address, { passwordHash }, 'password.reset')
}

export const disableUser = (
  deps: Pick<Deps, 'db'>,
  email: string,
  disabled: boolean,
): Promise<boolean> =>
  change(
    deps,
    requireEmail(email).normalised,
    { disabled },
    disabled ? 'account.disabled' : 'account.enabled',
  )

export const limitUser = (
  deps: Pick<Deps, 'db'>,
  email: string,
  micros: number | null,
): Promise<boolean> =>
  change(
    deps,
    requireEmail(email).normalised,
    { monthlyLimitMicros: micros },
    'account.limit_changed',
  )

/** Lifts the wait, or the stop, after failed logins. */
export const unlockUser = (deps: Pick<Deps, 'db'>, email: string): Promise<boolean> => {
  const { normalised } = requireEmail(email)
  return transaction(deps.db, async (tx) => {
    await forgetAttempts(tx, normalised)
    const user = await findUserByEmail(tx, normalised)
    if (user !== undefined) await recordEvent(tx, { action: 'account.unlocked', userId: user.id })
    return user !== undefined
  })
}

const change = (
  deps: Pick<Deps, 'db'>,
  address: string,
  what: UserChange,
  action: AuditAction,
): Promise<boolean> =>
  transaction(deps.db, async (tx) => {
    const userId = await changeUser(tx, address, what)
    if (userId !== undefined) await recordEvent(tx, { action, userId })
    return userId !== undefined
  })

function checkRegistrationIsOpen(
  { settings }: Pick<Deps, 'settings'>,
  token: string | undefined,
): void {
  const { mode, token: expected } = settings.registration
  if (mode === 'open') return
  if (mode === 'token' && expected !== undefined && token !== undefined) {
    if (equalInConstantTime(token, expected)) return
  }
  throw new AppError('registration_closed')
}

function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

function requireEmail(raw: string): { normalised: string; display: string } {
  const email = normaliseEmail(raw)
  if (email !== undefined) return email
  throw new AppError('invalid_input', 'email: is not a valid address.', { param: 'email' })
}

async function requireNewPassword(
  { settings }: Pick<Deps, 'settings'>,
  param: string,
  raw: string,
  email: string,
): Promise<string> {
  const fault = await checkNewPassword(raw, { minLength: settings.passwordMinLength, email })
  if (fault !== undefined) throw new AppError(fault.code, fault.message, { param })
  return normalisePassword(raw)
}

/** Runs exactly one compare for every kind of account and password, also for none. */
async function comparePassword(
  deps: Pick<Deps, 'db' | 'passwords'>,
  what: { attempt: Attempt | undefined; user: UserRow | undefined; password: string },
): ReturnType<Deps['passwords']['verify']> {
  try {
    return await deps.passwords.verify(what.password, what.user?.password_hash ?? null)
  } catch (error) {
    // Nothing was guessed, so an overload must not lock anybody out.
    if (what.attempt !== undefined) await takeBackAttempt(deps.db, what.attempt)
    throw error
  }
}

/**
 * Of an account each failure, which the waits bound; of no account one a minute and nothing of the
 * address, which may be anybody's, or a password in the wrong field.
 */
async function recordFailure(
  { db }: Pick<Deps, 'db'>,
  user: UserRow | undefined,
  rightPassword: boolean,
): Promise<void> {
  const action = 'login.failed'
  if (user === undefined) return recordOnceAMinute(db, { action, detail: 'unknown_account' })
  const detail = rightPassword ? 'account_disabled' : 'wrong_password'
  await recordEvent(db, { action, userId: user.id, detail })
}

/** Stores the password that was just right under the cost in force. */
async function rehash(
  deps: Pick<Deps, 'db' | 'passwords'>,
  user: UserRow,
  password: string,
): Promise<void> {
  const newHash = await deps.passwords.hash(password)
  await updateHash(deps.db, { userId: user.id, oldHash: user.password_hash ?? '', newHash })
}

/** How many hosts' worth of registrations a whole network may make. */
const NETWORK_FACTOR = 4

async function limitRegistrations(
  { rateLimiter, settings }: Pick<Deps, 'rateLimiter' | 'settings'>,
  ip: string,
): Promise<void> {
  const limit = settings.registerPerHour
  const host = { name: 'register', limit, windowSeconds: 3600 }
  const network = { ...host, name: 'register-network', limit: limit * NETWORK_FACTOR }
  // One after the other: a refused host uses up nothing of its network.
  const byHost = await rateLimiter.consume(host, hostBucket(ip))
  const result = byHost.allowed ? await rateLimiter.consume(network, networkBucket(ip)) : byHost
  if (result.allowed) return
  throw new AppError('rate_limited', 'Too many registrations from this address.', {
    retryAfterSeconds: result.resetMs / 1000,
  })
}

async function limitLogins(
  { rateLimiter, settings }: Pick<Deps, 'rateLimiter' | 'settings'>,
  ip: string,
): Promise<void> {
  const rule = { name: 'login', limit: settings.loginPerMinute, windowSeconds: 60, strict: true }
  const result = await rateLimiter.consume(rule, hostBucket(ip))
  if (result.allowed) return
  throw new AppError('login_throttled', undefined, { retryAfterSeconds: result.resetMs / 1000 })
}
