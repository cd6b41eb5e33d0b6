import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Answer } from '../../features/generations/answering.ts'
import { type Call, generate } from '../../features/generations/generate.service.ts'
import { AppError, fromZod } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { KeyPrincipal } from '../../kernel/principal.ts'
import { requireScope } from '../../kernel/procedures.ts'
import { authenticate } from '../authenticate.ts'
import { createContext } from '../context.ts'
import { takeParameters } from '../query.ts'
import type { ImageEvent } from './answer-schema.ts'
import { answerOf } from './answer.ts'
import { renamed } from './errors.ts'
import { EditsInput, GenerationsInput, type ImagesInput } from './fields.ts'
import { FILES, readEdits } from './form.ts'
import { sendStream } from './stream.ts'
import { toGenerateInput } from './to-generate.ts'

interface ImagesRoute {
  readonly name: string
  readonly url: string
  readonly schema: z.ZodType<ImagesInput>
  /** Type of the events that carry images. */
  readonly event: ImageEvent['type']
  read(request: FastifyRequest): unknown
}

const GENERATIONS: ImagesRoute = {
  name: 'images.generations',
  url: '/v1/images/generations',
  schema: GenerationsInput,
  event: 'image_generation.completed',
  read: ({ body }) => body,
}

const EDITS: ImagesRoute = {
  name: 'images.edits',
  url: '/v1/images/edits',
  schema: EditsInput,
  event: 'image_edit.completed',
  read: ({ form }) => {
    if (form !== undefined) return readEdits(form)
    throw new AppError('unsupported_media_type', 'Images to edit are sent as multipart/form-data.')
  },
}

/** The routes of OpenAI's image API: other clothes for `POST /v1/generate`. Plain Fastify, so that `/trpc` and the SDK know nothing of them. */
export function addOpenAi(app: FastifyInstance, deps: Deps): void {
  for (const route of [GENERATIONS, EDITS]) {
    app.route({
      method: 'POST',
      url: route.url,
      config: {
        policy: { kind: 'key', scope: 'generate' },
        ...(route === EDITS ? { takesUploads: () => true, files: FILES } : {}),
      },
      handler: (request, reply) => answer(deps, route, request, reply),
    })
  }
}

async function answer(
  deps: Deps,
  route: ImagesRoute,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const principal = await keyOf(deps, request)
  const input = parse(route, request)
  const call = callOf(deps, route, input, request, reply)
  const { generation } = await make(deps, principal, input, call)
  if (input.stream === true) {
    return sendStream(deps, request, reply, principal, { id: generation.id, event: route.event })
  }
  return answerOf(deps, principal, generation, input)
}

async function make(
  deps: Deps,
  principal: KeyPrincipal,
  input: ImagesInput,
  call: Call,
): Promise<Answer> {
  try {
    return await generate(deps, principal, toGenerateInput(deps, input), call)
  } catch (error) {
    throw renamed(error)
  }
}

async function keyOf(deps: Deps, request: FastifyRequest): Promise<KeyPrincipal> {
  const principal = await authenticate(deps, request)
  if (principal.kind !== 'key') throw new AppError('key_required')
  requireScope(principal, 'generate')
  return principal
}

function parse({ schema, read }: ImagesRoute, request: FastifyRequest): ImagesInput {
  takeParameters(request.searchParams)
  const result = schema.safeParse(read(request) ?? {})
  if (result.success) return result.data
  throw fromZod(result.error)
}

function callOf(
  deps: Deps,
  { name }: ImagesRoute,
  input: ImagesInput,
  request: FastifyRequest,
  reply: FastifyReply,
): Call {
  const context = createContext(deps, request, reply)
  return {
    idempotencyKey: context.header('idempotency-key'),
    asked: { procedure: name, input },
    delivery: { kind: input.stream === true ? 'stream' : 'end' },
    onCommitted: (id) => {
      context.startWaiting()
      context.setHeader('x-generation-id', id)
      context.setHeader('location', context.locationOf(`/v1/generations/${id}`))
    },
    onReplayed: () => context.setHeader('idempotent-replayed', 'true'),
  }
}
