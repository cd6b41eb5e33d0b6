import type { FastifyInstance } from 'fastify'
import * as images from '../features/images/images.service.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { requireScope } from '../kernel/procedures.ts'
import { isSigned } from '../kernel/signed-url.ts'
import { authenticate } from './authenticate.ts'
import { sendImage, sendThumbnail, widthOf } from './bytes.ts'

/** Byte routes: plain Fastify, since a procedure answers JSON. */
export function addImages(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { id: string } }>(
    '/v1/images/:id/content',
    { config: { policy: { kind: 'scope', scope: 'read' } } },
    async (request, reply) => {
      const principal = await authenticate(deps, request)
      if (principal.kind === 'key') requireScope(principal, 'read')
      const width = widthOf(request)
      const row = await images.getReadable(deps, principal, request.params.id)
      if (width === undefined) return sendImage(deps, request, reply, row)
      const read = () => images.readThumbnail(deps, row, width)
      return sendThumbnail(request, reply, row, { width, read })
    },
  )

  // Also where new pictures go elsewhere: those made on disk keep their addresses.
  app.get<{ Params: { '*': string } }>(
    '/files/*',
    { config: { policy: { kind: 'signed-url' } } },
    async (request, reply) => {
      const key = request.params['*']
      if (!hasValidSignature(deps, key, request.searchParams)) throw new AppError('not_found')
      return sendImage(deps, request, reply, await images.getByObjectKey(deps, key))
    },
  )
}

function hasValidSignature(
  deps: Pick<Deps, 'secrets' | 'now'>,
  key: string,
  query: Record<string, string | string[]>,
): boolean {
  const { exp, sig, ...others } = query
  if (typeof exp !== 'string' || typeof sig !== 'string' || Object.keys(others).length > 0)
    return false
  if (!/^\d{1,12}$/.test(exp)) return false
  const signed = { path: `/files/${key}`, expires: Number(exp) }
  return isSigned(deps.secrets.urlSigningKeys, signed, sig, deps.now())
}
