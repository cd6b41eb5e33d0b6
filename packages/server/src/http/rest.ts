import { type AnyTRPCRouter, callTRPCProcedure, getTRPCErrorFromUnknown } from '@trpc/server'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { appErrorOf } from '../kernel/procedures.ts'
import { type Coerce, createCoerce } from './coerce.ts'
import { createContext } from './context.ts'
import { asksForEvents, isAccepted } from './delivery.ts'
import { sendEvents } from './events.ts'
import { createFromForm, type FromForm } from './form.ts'
import { listProcedures, type ProcedureFacts } from './procedures.ts'
import { takeParameters, unknownField } from './query.ts'

const BODY_METHODS = new Set(['POST', 'PATCH', 'PUT'])

/** Serves every procedure that has a REST path; routes are made once, at start. */
export function addRest(app: FastifyInstance, deps: Deps, router: AnyTRPCRouter): void {
  for (const procedure of listProcedures(router)) {
    if (procedure.rest === undefined) continue
    const { method, path, status } = procedure.rest
    const readInput = createReadInput(procedure)
    app.route({
      method,
      url: fastifyPath(path),
      config: {
        policy: procedure.policy,
        takesUploads: () => procedure.takesUploads === true,
        tellsEvents: procedure.tellsEvents === true,
      },
      handler: async (request, reply) => {
        const result = await call(deps, router, procedure, readInput, request, reply)
        if (asksForEvents(request)) {
          return sendEvents(deps, request, reply, (result as { id: string }).id)
        }
        reply.status(isAccepted(request) ? 202 : status)
        if (status === 204) return reply.send()
        return reply.type('application/json; charset=utf-8').send(JSON.stringify(result))
      },
    })
  }
}

/** `/v1/keys/{id}` as Fastify writes it. */
export const fastifyPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1')

async function call(
  deps: Deps,
  router: AnyTRPCRouter,
  procedure: ProcedureFacts,
  readInput: ReadInput,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  try {
    return await callTRPCProcedure({
      router,
      path: procedure.name,
      type: procedure.type,
      ctx: createContext(deps, request, reply),
      getRawInput: async () => readInput(request),
      signal: undefined,
      batchIndex: 0,
    })
  } catch (error) {
    throw appErrorOf(getTRPCErrorFromUnknown(error))
  }
}

type ReadInput = (request: FastifyRequest) => unknown

function createReadInput({ input, rest }: ProcedureFacts): ReadInput {
  const coerce = createCoerce(input)
  const fromForm = createFromForm(input)
  return rest !== undefined && BODY_METHODS.has(rest.method)
    ? (request) => fromBody(request, coerce, fromForm)
    : (request) => fromQuery(request, coerce)
}

/** Members of JSON are strict: only the path's strings are converted, and the fields of a form. */
function fromBody(request: FastifyRequest, coerce: Coerce, fromForm: FromForm): unknown {
  takeParameters(request.searchParams)
  const body = request.form === undefined ? request.body : fromForm(request.form)
  if (body !== undefined && (typeof body !== 'object' || body === null || Array.isArray(body))) {
    throw new AppError('invalid_input', 'The body must be a JSON object.')
  }
  return merge(body ?? {}, coerce(request.params as Record<string, string>))
}

function fromQuery(request: FastifyRequest, coerce: Coerce): unknown {
  if (request.body !== undefined) {
    throw new AppError('invalid_input', `${request.method} takes no body.`)
  }
  return merge(coerce(request.searchParams), coerce(request.params as Record<string, string>))
}

/** What the path says cannot be said again. */
function merge(fields: object, params: Record<string, unknown>): Record<string, unknown> {
  const twice = Object.keys(params).find((name) => Object.hasOwn(fields, name))
  if (twice === undefined) return { ...fields, ...params }
  throw unknownField(twice)
}
