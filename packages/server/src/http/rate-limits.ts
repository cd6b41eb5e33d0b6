import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { authenticate } from './authenticate.ts'
import { chargeAddress, type Counted } from './charge.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether a request of a route with several policies calls anything that asks for a credential. */
    isGuarded?: (request: FastifyRequest) => boolean
  }
}

/** Those ask often who must not be refused, and what these answer costs less than the counting. */
const UNCOUNTED = /^\/(healthz|readyz|openapi\.json|docs(\/.*)?)$/

/**
 * Counts each request once, whatever its face, before its body is read. A credential is looked up
 * first: that read costs less than the write which counts address, key and account together.
 */
export function addRateLimits(app: FastifyInstance, deps: Deps): void {
  app.decorateRequest('counted', undefined)
  app.addHook('onRequest', async (request) => {
    if (UNCOUNTED.test(request.routeOptions.url ?? '')) return
    if (isGuarded(request)) await authenticate(deps, request).catch(leaveToRoute)
    if (request.counted === undefined) await chargeAddress(deps, request)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    if (request.counted?.known === true) reply.headers(headersOf(request.counted))
    done(null, payload)
  })
}

function isGuarded(request: FastifyRequest): boolean {
  const { policy, isGuarded: ofRequest } = request.routeOptions.config
  if (policy?.kind === 'per-procedure') return ofRequest?.(request) === true
  return policy?.kind === 'session' || policy?.kind === 'scope' || policy?.kind === 'key'
}

/** A route says itself, and where it does so today, that a credential is missing or does not work. */
function leaveToRoute(error: unknown): void {
  if (error instanceof AppError && error.code !== 'rate_limited') return
  throw error
}

/** Limits of the caller's own. An address is shared, so how much it has left is nobody's business. */
const OWN = new Set(['key', 'account'])

/** Structured fields of draft-ietf-httpapi-ratelimit-headers, version 10 and later. */
function headersOf({ charges, results }: Counted): Record<string, string> {
  const shown = charges
    .map(({ rule }, i) => ({ rule, result: results[i] }))
    .filter(({ rule, result }) => OWN.has(rule.name) || result?.passed === 0)
  const policies = shown.map(({ rule }) => `"${rule.name}";q=${rule.limit};w=${rule.windowSeconds}`)
  const limits = shown.flatMap(({ rule, result }) =>
    result === undefined
      ? []
      : [`"${rule.name}";r=${result.remaining};t=${Math.ceil(result.resetMs / 1000)}`],
  )
  return { 'ratelimit-policy': policies.join(', '), ratelimit: limits.join(', ') }
}
