import type { AnyTRPCRouter } from '@trpc/server'
import { resolveResponse } from '@trpc/server/http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { appErrorOf } from '../kernel/procedures.ts'
import { createContext } from './context.ts'
import { logFailure, sendError } from './errors.ts'
import { createFromForm, type FromForm } from './form.ts'
import { parseJson } from './json.ts'
import { listProcedures } from './procedures.ts'
import { queryOf, takeParameters } from './query.ts'

/** Calls in one batch; each is counted by the limits. */
const MAX_BATCH = 10

/** Serves the router as tRPC. Bodies are bounded and checked by the same parser as REST's. */
export function addTrpc(app: FastifyInstance, deps: Deps, router: AnyTRPCRouter): void {
  const procedures = listProcedures(router)
  const uploads = new Set(procedures.flatMap((one) => (one.takesUploads ? [one.name] : [])))
  const guarded = new Set(
    procedures.flatMap((one) => (one.policy.kind === 'public' ? [] : [one.name])),
  )
  const forms = new Map(procedures.map((one) => [one.name, createFromForm(one.input)]))
  app.route({
    method: ['GET', 'POST'],
    url: '/trpc/:path',
    // tRPC would answer 204 to anybody.
    exposeHeadRoute: false,
    config: {
      policy: { kind: 'per-procedure' },
      isGuarded: (request) => namesOf(request).some((name) => guarded.has(name)),
      // A longer batch is refused.
      callsOf: (request) => Math.min(namesOf(request).length, MAX_BATCH),
      takesUploads: (request) =>
        request.method === 'POST' && namesOf(request).some((name) => uploads.has(name)),
    },
    handler: async (request, reply) => {
      const { input } = takeParameters(request.searchParams, 'batch', 'input')
      // tRPC parses the text again by itself.
      if (input !== undefined && input !== '') parseJson(input)
      await handle(deps, router, forms, request, reply)
    },
  })
}

const pathOf = (request: FastifyRequest): string => (request.params as { path: string }).path
const namesOf = (request: FastifyRequest): string[] => pathOf(request).split(',')

async function handle(
  deps: Deps,
  router: AnyTRPCRouter,
  forms: ReadonlyMap<string, FromForm>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const path = pathOf(request)
  let early: AppError | undefined
  const response = await resolveResponse({
    router: withImages(router, request),
    req: toFetchRequest(request, forms.get(path)),
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

/** The router for one request: what tRPC parses gets back the images that were cut out of it. */
function withImages(router: AnyTRPCRouter, request: FastifyRequest): AnyTRPCRouter {
  const { _config: config } = router._def
  const { input, output } = config.transformer
  const transformer = { input: { ...input, deserialize: request.restoreImages }, output }
  return { ...router, _def: { ...router._def, _config: { ...config, transformer } } }
}

/** Names of the headers that tRPC reads. */
const READ_BY_TRPC = ['content-type', 'accept', 'trpc-accept'] as const
/** Without those that ask for a stream, which would begin before the work on an upload is over. */
const READ_OF_UPLOADS = ['content-type'] as const

/**
 * The request as tRPC reads it; a form is the input that was made of it. Its host is the client's
 * word and must not decide whether a URL is valid.
 */
function toFetchRequest(request: FastifyRequest, fromForm: FromForm | undefined): Request {
  const { method, jsonText, form, upload } = request
  const headers = new Headers()
  for (const name of upload === undefined ? READ_BY_TRPC : READ_OF_UPLOADS) {
    const value = request.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  const fetchRequest = new Request(`http://trpc.invalid/?${queryOf(request.url)}`, {
    method,
    headers,
    ...(jsonText === undefined ? {} : { body: jsonText }),
  })
  if (form === undefined || fromForm === undefined) return fetchRequest
  return Object.assign(fetchRequest, { formData: async () => fromForm(form) })
}
