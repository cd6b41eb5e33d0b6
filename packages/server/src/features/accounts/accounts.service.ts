import type { ChangePasswordInput, DeleteAccountInput, Me } from '@nanobanana/shared'
import { transaction } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { usdOf, usdOrNull } from '../../kernel/money.ts'
import type { SessionPrincipal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import * as generations from '../generations/generations.service.ts'
import * as images from '../images/images.service.ts'
import * as keys from '../keys/keys.service.ts'
import * as webhooks from '../webhooks/webhooks.service.ts'
import { spentThisMonth } from '../usage/usage.service.ts'

type Client = { ip: string }
/** Deleted right after an account; the sweeper, which can be stopped, comes for the rest. */
const OBJECTS_AT_ONCE = 1000

type PasswordDeps = Pick<Deps, 'db' | 'passwords' | 'rateLimiter' | 'settings'>

export async function getMe(
  deps: Pick<Deps, 'db' | 'settings'>,
  session: SessionPrincipal,
): Promise<Me> {
  const user = await auth.getUser(deps, session.userId)
  const spent = await spentThisMonth(deps.db, [user.id])
  const limit = user.monthly_limit_micros ?? deps.settings.defaultMonthlyLimitMicros
  return {
    ...auth.renderAccount(user),
    monthly_limit_usd: usdOrNull(limit),
    spent_this_month_usd: usdOf(spent.get(user.id) ?? 0),
  }
}

export async function changePassword(
  deps: PasswordDeps,
  client: Client,
  session: SessionPrincipal,
  input: ChangePasswordInput,
): Promise<void> {
  const user = await auth.getUser(deps, session.userId)
  const { current_password: password } = input
  await auth.confirmPassword(deps, client, { user, password, param: 'current_password' })
  const newHash = await auth.hashNewPassword(deps, user, input.new_password)
  await transaction(deps.db, async (tx) => {
    await auth.replacePassword(tx, user, newHash)
    if (input.revoke_keys) await keys.revokeAllOf(tx, user.id)
  })
}

/** Removes what the account owns; usage rows keep ids and amounts. */
export async function deleteAccount(
  deps: PasswordDeps & Pick<Deps, 'objectStore' | 'background' | 'log'>,
  client: Client,
  session: SessionPrincipal,
  input: DeleteAccountInput,
): Promise<void> {
  const user = await auth.getUser(deps, session.userId)
  await auth.confirmPassword(deps, client, { user, password: input.password, param: 'password' })
  await transaction(deps.db, async (tx) => {
    if (!(await auth.lock(tx, session))) throw new AppError('invalid_token')
    // The account is locked, so none of its generations can end and add one meanwhile.
    await images.doomAllOf(tx, user.id)
    await images.forgetStored(tx, user.id)
    await generations.deleteAllOf(tx, user.id)
    await webhooks.deleteAllOf(tx, user.id)
    await keys.deleteAllOf(tx, user.id)
    await auth.bury(tx, user.id)
  })
  const { signal } = new AbortController()
  deps.background.run('delete the objects of an account', () =>
    images.sweepDoomed(deps, signal, OBJECTS_AT_ONCE),
  )
}
