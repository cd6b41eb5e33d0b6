import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { GenerateInput } from '@nanobanana/shared'
import Fastify, { type FastifyInstance } from 'fastify'
import { z } from 'zod'
import { addBodyParsing } from '../src/http/body.ts'
import { addErrorHandlers } from '../src/http/errors.ts'
import { addSecurityHeaders, SECURITY_HEADERS } from '../src/http/headers.ts'
import { addRest } from '../src/http/rest.ts'
import { addTrpc } from '../src/http/trpc.ts'
import { addUploadGate } from '../src/http/uploads.ts'
import type { Deps } from '../src/kernel/deps.ts'
import { newRequestId } from '../src/kernel/ids.ts'
import { router, scopedProcedure } from '../src/kernel/procedures.ts'

type Images = GenerateInput['images']

/** What a test wants to know of an image. */
const seen = (images: Images) =>
  images?.map((one) =>
    'data' in one
      ? { sha256: sha256(one.data.bytes), type: one.data.declaredType, said: one.mime_type }
      : one,
  )

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex')

/** Calls the next that wait in the handler back; a prompt `wait` waits. */
export interface Waiting {
  readonly calls: (() => void)[]
}

const createUploadRouter = (waiting: Waiting) =>
  router({
    look: scopedProcedure('generate')
      .meta({ takesUploads: true, openapi: { method: 'POST', path: '/v1/look' } })
      .input(GenerateInput)
      .output(z.unknown())
      .mutation(async ({ input }) => {
        if (input.prompt === 'wait') await new Promise<void>((done) => waiting.calls.push(done))
        return { ...input, images: seen(input.images) }
      }),
    small: scopedProcedure('generate')
      .meta({ openapi: { method: 'POST', path: '/v1/small' } })
      .input(z.strictObject({ data: z.string().optional() }))
      .output(z.unknown())
      .mutation(({ input }) => ({ length: input.data?.length })),
  })
export type UploadRouter = ReturnType<typeof createUploadRouter>

export interface UploadServer extends AsyncDisposable {
  readonly app: FastifyInstance
  readonly port: number
  readonly waiting: Waiting
}

/** The entrances as they are served, in front of a procedure that tells what reached it. */
export async function serveUploads(
  deps: Deps,
  options: { uploadsInFlightBytes?: number; timeouts?: { body: number; upload: number } } = {},
): Promise<UploadServer> {
  const waiting: Waiting = { calls: [] }
  const uploadRouter = createUploadRouter(waiting)
  const app = Fastify({
    genReqId: () => newRequestId(),
    bodyLimit: 64 * 1024,
    routerOptions: { querystringParser: () => ({}) },
    forceCloseConnections: true,
  })
  addSecurityHeaders(app, SECURITY_HEADERS)
  addErrorHandlers(app)
  addBodyParsing(app, deps, options.timeouts ?? { body: 15_000, upload: 60_000 })
  addUploadGate(app, deps, options.uploadsInFlightBytes)
  addRest(app, deps, uploadRouter)
  addTrpc(app, deps, uploadRouter)
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    app,
    port: (app.server.address() as AddressInfo).port,
    waiting,
    [Symbol.asyncDispose]: () => app.close(),
  }
}
