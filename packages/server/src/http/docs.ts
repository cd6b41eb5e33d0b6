import type { FastifyInstance } from 'fastify'
import type { Deps } from '../kernel/deps.ts'
import { VERSION } from '../kernel/version.ts'
import { appRouter } from '../router.ts'
import { addReferencePage } from './docs/page.ts'
import { createOpenApiDocument } from './openapi.ts'

/** The OpenAPI document and a page to read it on. */
export async function addDocs(
  app: FastifyInstance,
  deps: Pick<Deps, 'settings'>,
  options: { page: boolean },
): Promise<void> {
  const config = { policy: { kind: 'public' } } as const
  let text: string | undefined
  app.get('/openapi.json', { config }, (_request, reply) => {
    text ??= JSON.stringify(
      createOpenApiDocument(appRouter, { baseUrl: deps.settings.publicUrl, version: VERSION }),
    )
    return reply.type('application/json; charset=utf-8').send(text)
  })
  if (options.page) addReferencePage(app)
}
