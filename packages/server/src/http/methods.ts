import type { Scope } from '@nanobanana/shared'
import type { FastifyInstance } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import type { Policy } from '../kernel/procedures.ts'
import { sendError } from './errors.ts'

/** What a route that is no procedure says of its callers. */
export type RoutePolicy =
  | Policy
  /** A key that has the scope, and no access token. */
  | { readonly kind: 'key'; readonly scope: Scope }
  /** Who may call is written in the URL and signed. */
  | { readonly kind: 'signed-url' }
  /** Each procedure behind the route has its own. */
  | { readonly kind: 'per-procedure' }

declare module 'fastify' {
  interface FastifyContextConfig {
    policy?: RoutePolicy
  }
}

const ALL_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export interface RouteFacts {
  readonly method: string
  readonly url: string
  readonly policy: RoutePolicy
}

/** Watches routes being added: each must say who may call it. Answers the list, filled as they come. */
export function watchRoutes(app: FastifyInstance): readonly RouteFacts[] {
  const routes: RouteFacts[] = []
  app.addHook('onRoute', (route) => {
    const { policy } = route.config ?? {}
    for (const method of [route.method].flat()) {
      // The preflight of the CORS plugin reads nothing and changes nothing.
      if (method === 'OPTIONS' && route.url === '*') continue
      if (policy === undefined) throw new Error(`${method} ${route.url} declares no policy`)
      routes.push({ method, url: route.url, policy })
    }
  })
  return routes
}

/** Answers 405 with `Allow` for every other method of the paths that exist; called last. */
export function addMethodNotAllowed(
  app: FastifyInstance,
  routes: readonly RouteFacts[],
  options: { preflight: boolean },
): void {
  const byUrl = Map.groupBy(routes, (route) => route.url)
  for (const [url, present] of byUrl) {
    const allowed = [...new Set(present.map((route) => route.method))]
    const others = ALL_METHODS.filter(
      (method) => !allowed.includes(method) && !(options.preflight && method === 'OPTIONS'),
    )
    if (others.length === 0) continue
    app.route({
      method: others,
      url,
      config: { policy: { kind: 'public' } },
      // The body does not matter any more, so its type must not answer 415 first.
      onRequest: (request, reply) => {
        const error = new AppError('method_not_allowed', undefined, {
          headers: { allow: allowed.join(', ') },
        })
        sendError(request, reply, error)
      },
      handler: async () => undefined,
    })
  }
}
