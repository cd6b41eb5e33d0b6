import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Delivery } from '../kernel/delivery.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route answers a generation, whose events may be asked for in its place. */
    tellsEvents?: boolean
  }
}

/** Longer than this no connection through common proxies lives. */
const MAX_WAIT_SECONDS = 90
/** When a caller that was told to come back should look. */
const RETRY_AFTER_SECONDS = 2

/**
 * What `Prefer` (RFC 7240) and `Accept` say. A preference that is not understood is none, as the RFC
 * has it; a longer wait is the longest there is.
 */
export function deliveryOf(request: FastifyRequest): Delivery {
  if (asksForEvents(request)) return { kind: 'stream' }
  const preferences = parsePrefer(request.headers['prefer'])
  const wait = preferences.get('wait')
  if (wait !== undefined && /^\d{1,6}$/.test(wait)) {
    const seconds = Math.min(Number(wait), MAX_WAIT_SECONDS)
    return seconds === 0 ? { kind: 'async' } : { kind: 'wait', ms: seconds * 1000 }
  }
  return preferences.has('respond-async') ? { kind: 'async' } : { kind: 'wait', ms: undefined }
}

/** By name, where the route has any: who takes anything gets JSON. */
export function asksForEvents({ headers, routeOptions }: FastifyRequest): boolean {
  if (routeOptions.config.tellsEvents !== true) return false
  const types = headers.accept?.split(',') ?? []
  return types.some((type) => /^\s*text\/event-stream\s*(;|$)/i.test(type))
}

/** The first of each name counts. */
function parsePrefer(header: string | string[] | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const text = Array.isArray(header) ? header.join(',') : (header ?? '')
  for (const preference of text.split(',')) {
    const [name = '', value = ''] = (preference.split(';', 1)[0] ?? '').split('=', 2)
    const key = name.trim().toLowerCase()
    if (key !== '' && !found.has(key)) found.set(key, value.trim().replaceAll('"', ''))
  }
  return found
}

const accepted = new WeakSet<FastifyRequest>()

/** Answers 202: what the body tells of goes on. */
export function accept(request: FastifyRequest, reply: FastifyReply): void {
  const delivery = deliveryOf(request)
  // The events tell it themselves.
  if (delivery.kind === 'stream') return
  accepted.add(request)
  reply.header('retry-after', String(RETRY_AFTER_SECONDS))
  reply.header('cache-control', 'no-store')
  if (delivery.kind === 'async') reply.header('preference-applied', 'respond-async')
  if (delivery.kind === 'wait' && delivery.ms !== undefined) {
    reply.header('preference-applied', `wait=${delivery.ms / 1000}`)
  }
}

export const isAccepted = (request: FastifyRequest): boolean => accepted.has(request)
