import type { FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import { hostBucket } from '../kernel/client-address.ts'
import type { Deps } from '../kernel/deps.ts'
import type { Principal } from '../kernel/principal.ts'
import type { RateLimitCharge, RateLimitResult } from '../ports/rate-limiter.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How many calls a request of the route makes; one where this is absent. */
    callsOf?: (request: FastifyRequest) => number
  }
  interface FastifyRequest {
    /** What the limits said of it; undefined until it is counted. */
    counted: Counted | undefined
  }
}

/** What the limits said of a request. */
export interface Counted {
  readonly charges: readonly RateLimitCharge[]
  /** Of the first charges, in their order. */
  readonly results: readonly RateLimitResult[]
  /** Whether its caller is known, who may then hear of the limits. */
  readonly known: boolean
  readonly calls: number
}

const MINUTE = { windowSeconds: 60 }

/** Refused credentials an address may send in a minute; far below what guessing needs. */
const BAD_CREDENTIALS = { name: 'bad-credentials', limit: 30, ...MINUTE, strict: true }

type LimitDeps = Pick<Deps, 'rateLimiter' | 'settings'>

/** Counts a request of somebody known; of a batch as many calls pass as there is room for. */
export const chargePrincipal = (
  deps: LimitDeps,
  request: FastifyRequest,
  principal: Principal,
): Promise<void> => charge(deps, request, ownOf(deps, principal), true)

/** Counts a request whose credential works no more, or never did. */
export function chargeBadCredential(deps: LimitDeps, request: FastifyRequest): Promise<void> {
  const bad = { rule: BAD_CREDENTIALS, subject: hostBucket(request.ip) }
  return charge(deps, request, [bad], false)
}

/** Counts a request of which nothing is known but its address. */
export const chargeAddress = (deps: LimitDeps, request: FastifyRequest): Promise<void> =>
  charge(deps, request, [], false)

async function charge(
  { rateLimiter, settings }: LimitDeps,
  request: FastifyRequest,
  others: readonly RateLimitCharge[],
  known: boolean,
): Promise<void> {
  const rule = { name: 'ip', limit: settings.ipRequestsPerMinute, ...MINUTE }
  const charges = [{ rule, subject: hostBucket(request.ip) }, ...others]
  const calls = request.routeOptions.config.callsOf?.(request) ?? 1
  const results = await rateLimiter.consumeAll(charges, calls)
  const counted: Counted = { charges, results, known, calls }
  request.counted = counted
  // The calls of a known caller's batch are let in one by one.
  const first = known ? 0 : calls - 1
  if (!mayPass(counted, first)) throw refusal(counted, first)
}

/** By the key before the account: what one key is refused takes nothing from the others. */
function ownOf({ settings }: LimitDeps, principal: Principal): RateLimitCharge[] {
  const { userId } = principal
  const limit = settings.accountRequestsPerMinute
  const account = {
    rule: { name: 'account', limit, ...MINUTE, burst: true },
    subject: userId,
  }
  if (principal.kind === 'session') return [account]
  const ofKey = principal.requestsPerMinute ?? settings.keyRequestsPerMinute
  const key = {
    rule: { name: 'key', limit: ofKey, ...MINUTE, burst: true },
    subject: `${userId} ${principal.keyId}`,
  }
  return [key, account]
}

/** Asked as each call begins, by its place in the batch: refuses those for which there is no room. */
export function admitCall({ counted }: FastifyRequest, call: number): void {
  if (counted === undefined || counted.calls === 1) return
  if (!mayPass(counted, call)) throw refusal(counted, call)
}

const mayPass = ({ results }: Counted, call: number): boolean =>
  results.every(({ passed }) => call < passed)

const WORDS: Readonly<Record<string, string>> = {
  ip: 'Too many requests from this address.',
  key: 'Too many requests with this API key.',
  account: 'Too many requests of this account.',
  'bad-credentials': 'Too many refused credentials from this address.',
}

function refusal({ charges, results }: Counted, call: number): AppError {
  const by = results.findIndex(({ passed }) => call >= passed)
  return new AppError('rate_limited', WORDS[charges[by]?.rule.name ?? ''], {
    retryAfterSeconds: (results[by]?.resetMs ?? 0) / 1000,
  })
}
