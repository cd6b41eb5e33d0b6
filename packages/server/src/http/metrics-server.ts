import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Deps } from '../kernel/deps.ts'
import { addErrorHandlers } from './errors.ts'
import { addSystem, type Readiness } from './system.ts'

/** A scrape is small, and its client near. */
const TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 64

/**
 * Serves /metrics, which are for the operator alone, on a port of their own; and whether the process
 * is alive and ready, which one without any other port has to say somewhere.
 */
export function createMetricsServer(deps: Deps, state: Readiness): FastifyInstance {
  const app = Fastify({
    loggerInstance: deps.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    requestTimeout: TIMEOUT_MS,
    forceCloseConnections: true,
  })
  app.server.maxConnections = MAX_CONNECTIONS
  addErrorHandlers(app)
  addSystem(app, deps, state)
  const { registry } = deps.metrics
  app.get('/metrics', { config: { policy: { kind: 'public' } } }, async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  )
  return app
}
