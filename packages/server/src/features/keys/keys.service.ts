import type {
  ApiKey,
  ApiKeyWithSecret,
  CreateKeyInput,
  KeyStatus,
  ListKeysInput,
  RotateKeyInput,
  UpdateKeyInput,
} from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import type { AuditAction } from '../../db/schema.ts'
import { AppError } from '../../kernel/app-error.ts'
import {
  type AuditEvent,
  recordEvent,
  recordEvents,
  recordOnceAMinute,
} from '../../kernel/audit.repo.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid, parseId, uuidOf } from '../../kernel/ids.ts'
import { microsOrNull, usdOf, usdOrNull } from '../../kernel/money.ts'
import type { KeyPrincipal, SessionPrincipal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import { spentThisMonth } from '../usage/usage.service.ts'
import { digestOf, displayPrefix, generateKey, hasKeyForm, matchesStored } from './key-secret.ts'
import {
  countKeys,
  countKeysOfOtherPeppers,
  deleteKeysOfUser,
  findKey,
  findLiveKey,
  findRefusal,
  insertKey,
  insertSecret,
  type KeyRow,
  listKeys,
  lockKey,
  lockKeyForRun,
  type OwnedKey,
  retireSecrets,
  revokeKey,
  revokeKeysOfOtherPeppers,
  revokeKeysOfUser,
  setPrefix,
  touchKey,
  updateKey,
} from './keys.repo.ts'

/** Active keys an account may have. */
const MAX_KEYS = 25

type Owner = Pick<SessionPrincipal, 'userId' | 'tokenVersion'>

export async function create(
  deps: Pick<Deps, 'db' | 'secrets' | 'now'>,
  owner: Owner,
  input: CreateKeyInput,
): Promise<ApiKeyWithSecret> {
  const expiresAt = futureTime(input.expires_at, deps.now())
  const key = generateKey(input.mode)
  const row = await transaction(deps.db, async (tx) => {
    await lockOwner(tx, owner)
    const inserted = await insertKey(tx, {
      id: newUuid(),
      user_id: owner.userId,
      name: input.name,
      prefix: displayPrefix(key),
      mode: input.mode,
      scopes: input.scopes,
      expires_at: expiresAt ?? null,
      monthly_limit_micros: microsOrNull(input.monthly_limit_usd),
      requests_per_minute: input.requests_per_minute ?? null,
      max_concurrency: input.max_concurrency ?? null,
    })
    await storeSecret(tx, deps, inserted.id, key)
    await refuseTooMany(tx, owner)
    await recordEvent(tx, eventOf('key.created', inserted))
    return inserted
  })
  return { ...render(row, 0), key }
}

export async function list(
  deps: Pick<Deps, 'db'>,
  owner: Owner,
  input: ListKeysInput,
): Promise<{ data: ApiKey[]; next_cursor: string | null }> {
  const before = input.cursor === undefined ? undefined : parseId('key', input.cursor)
  if (input.cursor !== undefined && before === undefined) {
    throw new AppError('invalid_input', 'cursor: is not one of ours.', { param: 'cursor' })
  }
  const rows = await listKeys(deps.db, owner.userId, { limit: input.limit + 1, before })
  const shown = rows.slice(0, input.limit)
  const spent = await spentThisMonth(
    deps.db,
    shown.map((row) => row.id),
  )
  const last = shown.at(-1)
  return {
    data: shown.map((row) => render(row, spent.get(row.id) ?? 0)),
    next_cursor: rows.length > shown.length && last !== undefined ? idOf('key', last.id) : null,
  }
}

export async function get(deps: Pick<Deps, 'db'>, owner: Owner, id: string): Promise<ApiKey> {
  const row = await findKey(deps.db, owner.userId, uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  return renderWithSpend(deps, row)
}

export async function update(
  deps: Pick<Deps, 'db' | 'now'>,
  owner: Owner,
  input: UpdateKeyInput,
): Promise<ApiKey> {
  const changes = {
    ...(input.name === undefined ? {} : { name: input.name }),
    ...(input.disabled === undefined
      ? {}
      : { status: input.disabled ? ('disabled' as const) : ('active' as const) }),
    ...(input.expires_at === undefined
      ? {}
      : { expires_at: futureTime(input.expires_at, deps.now()) ?? null }),
    ...(input.monthly_limit_usd === undefined
      ? {}
      : { monthly_limit_micros: microsOrNull(input.monthly_limit_usd) }),
    ...(input.requests_per_minute === undefined
      ? {}
      : { requests_per_minute: input.requests_per_minute }),
    ...(input.max_concurrency === undefined ? {} : { max_concurrency: input.max_concurrency }),
  }
  if (Object.keys(changes).length === 0) {
    throw new AppError('invalid_input', 'Name at least one field to change.')
  }
  const id = uuidOf(input.id)
  const row = await transaction(deps.db, async (tx) => {
    await lockOwner(tx, owner)
    const changed = await updateKey(tx, owner.userId, id, changes)
    if (changed === undefined) return refuseAbsentOrRevoked(tx, owner, id)
    // A later expiry brings an expired key back.
    await refuseTooMany(tx, owner)
    const detail = Object.keys(changes).join()
    await recordEvent(tx, { ...eventOf('key.updated', changed), detail })
    return changed
  })
  return renderWithSpend(deps, row)
}

/** Revokes a key; one that is revoked stays so. */
export async function revoke(deps: Pick<Deps, 'db'>, owner: Owner, id: string): Promise<void> {
  const { userId } = owner
  await transaction(deps.db, async (tx) => {
    const row = await revokeKey(tx, userId, uuidOf(id))
    if (row !== undefined) return recordEvent(tx, eventOf('key.revoked', row))
    if ((await findKey(tx, userId, uuidOf(id))) === undefined) throw new AppError('not_found')
  })
}

/** Gives the key a new secret; its id, limits and usage stay. */
export async function rotate(
  deps: Pick<Deps, 'db' | 'secrets'>,
  owner: Owner,
  input: RotateKeyInput,
): Promise<ApiKeyWithSecret> {
  const id = uuidOf(input.id)
  const { row, key } = await transaction(deps.db, async (tx) => {
    await lockOwner(tx, owner)
    const found = await findKey(tx, owner.userId, id)
    if (found === undefined) throw new AppError('not_found')
    if (found.status === 'revoked') throw revoked()
    const secret = generateKey(found.mode)
    await retireSecrets(tx, id, input.grace_seconds)
    await storeSecret(tx, deps, id, secret)
    await setPrefix(tx, id, displayPrefix(secret))
    await recordEvent(tx, eventOf('key.rotated', found))
    return { row: { ...found, prefix: displayPrefix(secret) }, key: secret }
  })
  return { ...(await renderWithSpend(deps, row)), key }
}

/** Who a key is, or undefined for every key that does not work, whatever the reason. */
export async function authenticate(
  deps: Pick<Deps, 'db' | 'secrets' | 'background'>,
  key: string,
): Promise<KeyPrincipal | undefined> {
  if (!hasKeyForm(key)) return undefined
  const digests = digestsOf(deps, key)
  const row = await findLiveKey(deps.db, digests)
  if (row === undefined || !matchesStored(digests, row.digest)) return undefined
  if (row.last_use_stale) deps.background.run('touch key', () => touchKey(deps.db, row.id))
  return {
    kind: 'key',
    userId: row.user_id,
    keyId: row.id,
    mode: row.mode,
    scopes: row.scopes,
    requestsPerMinute: row.requests_per_minute,
    maxConcurrency: row.max_concurrency,
  }
}

const digestsOf = ({ secrets }: Pick<Deps, 'secrets'>, key: string): Uint8Array[] =>
  secrets.peppers.map((pepper) => digestOf(key, pepper))

/** Notes that a key was refused, if it once worked; a text that was never one leaves nothing. */
export function noteRefusal(deps: Pick<Deps, 'db' | 'secrets' | 'background'>, key: string): void {
  if (!hasKeyForm(key)) return
  deps.background.run('record a refused key', async () => {
    const refusal = await findRefusal(deps.db, digestsOf(deps, key))
    if (refusal === undefined) return
    const { detail } = refusal
    await recordOnceAMinute(deps.db, { ...eventOf('key.refused', refusal), detail })
  })
}

/**
 * Makes calls of one key go one after the other while the transaction lasts; false when the key no
 * longer works.
 */
export const lock = (tx: Tx, keyId: string): Promise<boolean> => lockKey(tx, keyId)

/** Keeps others from counting what a key runs; answers how many it may, null: as any other. */
export const lockForRun = (tx: Tx, keyId: string): Promise<number | null> =>
  lockKeyForRun(tx, keyId)

/** Keys that nothing but a missing pepper keeps from working. */
export const countUnreadable = ({ db, secrets }: Pick<Deps, 'db' | 'secrets'>): Promise<number> =>
  countKeysOfOtherPeppers(db, pepperIds(secrets))

/** Revokes them, for an operator whose secret is lost; answers how many. */
export const revokeUnreadable = ({ db, secrets }: Pick<Deps, 'db' | 'secrets'>): Promise<number> =>
  transaction(db, async (tx) => {
    const revoked = await revokeKeysOfOtherPeppers(tx, pepperIds(secrets))
    await recordEvents(tx, revokedFor(revoked, 'unreadable'))
    return revoked.length
  })

const pepperIds = ({ peppers }: Deps['secrets']) => peppers.map((pepper) => pepper.id)

/** Revokes every key of an account. */
export async function revokeAllOf(tx: Tx, userId: string): Promise<void> {
  await recordEvents(tx, revokedFor(await revokeKeysOfUser(tx, userId), 'password_changed'))
}

export async function deleteAllOf(tx: Tx, userId: string): Promise<void> {
  await recordEvents(tx, revokedFor(await revokeKeysOfUser(tx, userId), 'account_deleted'))
  await deleteKeysOfUser(tx, userId)
}

const eventOf = (action: AuditAction, { id: keyId, user_id: userId }: OwnedKey): AuditEvent => ({
  action,
  userId,
  keyId,
})

const revokedFor = (rows: readonly OwnedKey[], detail: string): AuditEvent[] =>
  rows.map((row) => ({ ...eventOf('key.revoked', row), detail }))

async function storeSecret(
  tx: Tx,
  deps: Pick<Deps, 'secrets'>,
  keyId: string,
  key: string,
): Promise<void> {
  const pepper = deps.secrets.peppers[0]
  if (pepper === undefined) throw new Error('no pepper is configured')
  await insertSecret(tx, { digest: digestOf(key, pepper), key_id: keyId, pepper_id: pepper.id })
}

const revoked = (): AppError =>
  new AppError('invalid_input', 'id: the key is revoked.', { param: 'id' })

/** One after the other, or parallel changes would together pass the bound. */
async function lockOwner(tx: Tx, owner: Owner): Promise<void> {
  if (!(await auth.lock(tx, owner))) throw new AppError('invalid_token')
}

async function refuseTooMany(tx: Tx, owner: Owner): Promise<void> {
  if ((await countKeys(tx, owner.userId)) > MAX_KEYS) throw new AppError('key_limit_reached')
}

async function refuseAbsentOrRevoked(tx: Tx, owner: Owner, id: string): Promise<never> {
  throw (await findKey(tx, owner.userId, id)) === undefined ? new AppError('not_found') : revoked()
}

/** RFC 3339 has no later year. */
const END_OF_TIME = Date.UTC(10_000, 0)

function futureTime(time: string | null | undefined, now: Date): Date | null | undefined {
  if (time === null || time === undefined) return time
  const date = new Date(time)
  if (date.getTime() > now.getTime() && date.getTime() < END_OF_TIME) return date
  throw new AppError(
    'invalid_input',
    'expires_at: must lie in the future, before the year 10000.',
    {
      param: 'expires_at',
    },
  )
}

const statusOf = (row: KeyRow): KeyStatus =>
  row.status !== 'revoked' && row.expired ? 'expired' : row.status

async function renderWithSpend(deps: Pick<Deps, 'db'>, row: KeyRow): Promise<ApiKey> {
  const spent = await spentThisMonth(deps.db, [row.id])
  return render(row, spent.get(row.id) ?? 0)
}

const render = (row: KeyRow, spentMicros: number): ApiKey => ({
  id: idOf('key', row.id),
  name: row.name,
  prefix: row.prefix,
  mode: row.mode,
  scopes: row.scopes,
  status: statusOf(row),
  created_at: row.created_at.toISOString(),
  last_used_at: row.last_used_at?.toISOString() ?? null,
  expires_at: row.expires_at?.toISOString() ?? null,
  monthly_limit_usd: usdOrNull(row.monthly_limit_micros),
  spent_this_month_usd: usdOf(spentMicros),
  requests_per_minute: row.requests_per_minute,
  max_concurrency: row.max_concurrency,
})
