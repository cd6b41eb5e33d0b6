import type { OperatorDeps } from '../app.ts'
import type { Config } from '../config.ts'
import * as auth from '../features/auth/auth.service.ts'
import { AppError } from '../kernel/app-error.ts'
import { microsOf } from '../kernel/money.ts'
import { withDatabase } from './operator.ts'
import type { Io } from './io.ts'

type Work = (deps: OperatorDeps) => Promise<boolean>

/** `user …`; undefined for a call that is written wrong. */
export async function userCommand(
  load: () => Config,
  args: readonly string[],
  flags: { undo?: boolean },
  io: Io,
): Promise<number | undefined> {
  const [verb, email, value, ...more] = args
  if (verb === undefined || email === undefined || more.length > 0) return undefined
  const work = await workOf(verb, email, value, flags, io)
  if (work === undefined) return undefined
  return run(load(), email, work, io)
}

async function workOf(
  verb: string,
  email: string,
  value: string | undefined,
  { undo = false }: { undo?: boolean },
  io: Io,
): Promise<Work | undefined> {
  if (verb === 'set-limit') {
    const micros = limitOf(value)
    return micros === undefined ? undefined : (deps) => auth.limitUser(deps, email, micros)
  }
  if (value !== undefined) return undefined
  if (verb === 'disable') return (deps) => auth.disableUser(deps, email, !undo)
  if (verb === 'unlock') return (deps) => auth.unlockUser(deps, email)
  if (verb !== 'reset-password') return undefined
  const password = await io.readInput()
  return (deps) => auth.resetPassword(deps, email, password)
}

const MAX_LIMIT_USD = 1_000_000

/** Micro-dollars; null for none; undefined for what is neither. */
function limitOf(value: string | undefined): number | null | undefined {
  if (value === 'none') return null
  const usd =
    value !== undefined && /^\d{1,7}(\.\d{1,6})?$/.test(value) ? Number(value) : Number.NaN
  return usd <= MAX_LIMIT_USD ? microsOf(usd) : undefined
}

async function run(config: Config, email: string, work: Work, io: Io): Promise<number> {
  try {
    const found = await withDatabase(config, work)
    if (found) io.print('Done.')
    else io.fail(`There is no account ${email}.`)
    return found ? 0 : 1
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    io.fail(error.message)
    return 1
  }
}
