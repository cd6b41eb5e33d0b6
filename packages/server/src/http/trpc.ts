import type { AnyTRPCRouter } from '@trpc/server'
import { resolveResponse } from '@trpc/server/http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { appErrorOf } from '../kernel/procedures.ts'
import { createContext } from './context.ts'
import { logFailure, sendError } from './errors.ts'
import { parseJson } from './json.ts'
import { queryOf, takeParameters } from './query.ts'

/** Calls in one batch; each is counted by the limits. */
const MAX_BATCH = 10

/** Serves the router as tRPC. Bodies are bounded and checked by the same parser as REST's. */
export function addTrpc(app: FastifyInstance, deps: Deps, router: AnyTRPCRouter): void {
  app.route({
    method: ['GET', 'POST'],
    url: '/trpc/:path',
    // tRPC would answer 204 to anybody.
    exposeHeadRoute: false,
    config: { policy: { kind: 'per-procedure' } },
    handler: async (request, reply) => {
      const { input } = takeParameters(request.searchParams, 'batch', 'input')
      // tRPC parses the text again by itself.
      if (input !== undefined && input !== '') parseJson(input)
      await handle(deps, router, request, reply)
    },
  })
}

async function handle(
  deps: Deps,
  router: AnyTRPCRouter,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { path } = request.params as { path: string }
  let early: AppError | undefined
  const response = await resolveResponse({
    router,
    req: toFetchRequest(request),
    path,
    error: null,
    maxBatchSize: MAX_BATCH,
    createContext: async () => createContext(deps, request, reply),
    onError: ({ error, ctx }) => {
      const appError = appErrorOf(error)
      if (ctx === undefined) early = appError
      else logFailure(request.log, appError)
    },
    responseMeta: ({ errors }) => {
      const [error] = errors
      if (error === undefined || path.includes(',')) return {}
      const appError = appErrorOf(error)
      return {
        status: appError.row.status,
        headers: {
          ...appError.toHeaders(),
          ...(appError.code === 'method_not_allowed'
            ? { allow: request.method === 'GET' ? 'POST' : 'GET' }
            : {}),
        },
      }
    },
  })
  // Refused before there was a context: tRPC's own answer would not know the request's id.
  if (early !== undefined) return sendError(request, reply, early)
  // What tRPC answers depends on would stand in place of what CORS depends on.
  const vary = reply.getHeader('vary')
  if (typeof vary === 'string') response.headers.append('vary', vary)
  await reply.send(response)
}

/** Names of the headers that tRPC reads. */
const READ_BY_TRPC = ['content-type', 'accept', 'trpc-accept'] as const

/** The request as tRPC reads it. Its host is the client's word and must not decide whether a URL is valid. */
function toFetchRequest(request: FastifyRequest): Request {
  const { method, jsonText } = request
  const headers = new Headers()
  for (const name of READ_BY_TRPC) {
    const value = request.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  return new Request(`http://trpc.invalid/?${queryOf(request.url)}`, {
    method,
    headers,
    ...(jsonText === undefined ? {} : { body: jsonText }),
  })
}
