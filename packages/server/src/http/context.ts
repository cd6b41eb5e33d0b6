import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../kernel/context.ts'
import type { Deps } from '../kernel/deps.ts'
import { authenticate } from './authenticate.ts'
import { admitCall } from './charge.ts'
import { accept, deliveryOf } from './delivery.ts'
import { startWaiting } from './overload.ts'

/** The context of one HTTP request, the same for REST and tRPC. */
export function createContext(deps: Deps, request: FastifyRequest, reply: FastifyReply): Context {
  return {
    deps,
    requestId: request.id,
    ip: request.ip,
    admit: (call) => admitCall(request, call),
    authenticate: () => authenticate(deps, request),
    locationOf: (path) => prefixOf(deps.settings.publicUrl) + path,
    header: (name) => headerOf(request, name),
    setHeader: (name, value) => void reply.header(name, value),
    delivery: deliveryOf(request),
    setAccepted: () => accept(request, reply),
    startWaiting: () => startWaiting(request),
  }
}

/** The path of `PUBLIC_URL`; empty at the root. */
const prefixOf = (publicUrl: string): string =>
  URL.canParse(publicUrl) ? new URL(publicUrl).pathname.replace(/\/$/, '') : ''

function headerOf({ headers }: FastifyRequest, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
