import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { FastifyInstance } from 'fastify'
import { type Asset, createAsset, sendAsset } from './asset.ts'
import { ICON, pageHtml, SCRIPT, STYLE } from './content.ts'

/** Scripts, styles and calls of this origin alone. `data:` and `blob:` are pictures: icons, and answers shown. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const CSS = 'text/css; charset=utf-8'
const JS = 'text/javascript; charset=utf-8'

/** By name under `/docs/`. A path is a file of the package; its script and style are all the page takes. */
const SOURCES = {
  'swagger-ui.css': { type: CSS, file: 'swagger-ui-dist/swagger-ui.css' },
  'swagger-ui.js': { type: JS, file: 'swagger-ui-dist/swagger-ui-bundle.js' },
  'page.css': { type: CSS, text: STYLE },
  'page.js': { type: JS, text: SCRIPT },
  'icon.svg': { type: 'image/svg+xml', text: ICON },
}

/**
 * The reference at `/docs`. Its addresses are relative, so that a proxy may take a path prefix away;
 * each file is a route of its own, so that no path reaches the disk.
 */
export function addReferencePage(app: FastifyInstance): void {
  const config = { policy: { kind: 'public' } } as const
  const load = once(loadAssets)
  app.get('/docs', { config }, async (request, reply) => {
    const { page } = await load()
    reply
      .header('content-security-policy', POLICY)
      // A window that this page opened, or that opened it, has no hold on it: it may hold a key.
      .header('cross-origin-opener-policy', 'same-origin')
    return sendAsset(request, reply, page)
  })
  app.get('/docs/', { config }, (_request, reply) => reply.redirect('../docs', 308))
  for (const name of Object.keys(SOURCES)) {
    app.get(`/docs/${name}`, { config }, async (request, reply) => {
      const asset = (await load()).assets.get(name) as Asset
      return sendAsset(request, reply, asset)
    })
  }
}

async function loadAssets(): Promise<{ page: Asset; assets: ReadonlyMap<string, Asset> }> {
  const { resolve } = createRequire(import.meta.url)
  const assets = new Map(
    await Promise.all(
      Object.entries(SOURCES).map(async ([name, source]) => {
        const content = 'file' in source ? await readFile(resolve(source.file)) : source.text
        return [name, await createAsset(source.type, content)] as const
      }),
    ),
  )
  const addressOf = (name: string) => `docs/${name}?v=${assets.get(name)?.version}`
  return { page: await createAsset('text/html; charset=utf-8', pageHtml(addressOf)), assets }
}

/** Made at the first call, again after a failure. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () =>
    (made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    }))
}
