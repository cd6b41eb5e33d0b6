import type { AnyTRPCRouter } from '@trpc/server'
import { fastifyRequestHandler } from '@trpc/server/adapters/fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Deps } from '../kernel/deps.ts'
import { appErrorOf } from '../kernel/procedures.ts'
import { createContext } from './context.ts'
import { logFailure } from './errors.ts'
import { parseJson } from './json.ts'

/** Calls in one batch; each is counted by the limits. */
const MAX_BATCH = 10

/** Serves the router as tRPC. Bodies are bounded and checked by the same parser as REST's. */
export function addTrpc(app: FastifyInstance, deps: Deps, router: AnyTRPCRouter): void {
  app.route({
    method: ['GET', 'POST'],
    url: '/trpc/:path',
    config: { policy: { kind: 'per-procedure' } },
    handler: async (request, reply) => {
      checkQueryInput(request)
      // tRPC parses the text itself.
      if (request.jsonText !== undefined) request.body = request.jsonText
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
  await fastifyRequestHandler({
    router,
    req: request,
    res: reply,
    path,
    maxBatchSize: MAX_BATCH,
    createContext: () => createContext(deps, request, reply),
    onError: ({ error }) => {
      const appError = appErrorOf(error)
      if (appError.row.status >= 500) logFailure(request.log, appError)
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
}

function checkQueryInput(request: FastifyRequest): void {
  const { input } = request.searchParams
  for (const text of input === undefined ? [] : [input].flat()) parseJson(text)
}
