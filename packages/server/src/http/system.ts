import type { FastifyInstance } from 'fastify'
import { ping } from '../db/client.ts'
import type { Deps } from '../kernel/deps.ts'

/** What an orchestrator asks. */
export function addSystem(app: FastifyInstance, deps: Deps, state: { draining: boolean }): void {
  const config = { policy: { kind: 'public' } } as const
  app.get('/healthz', { config }, async () => ({ status: 'ok' }))

  app.get('/readyz', { config }, async (request, reply) => {
    const checks = {
      database: await passes(request.log, () => ping(deps.db)),
      store: await passes(request.log, () => deps.objectStore.check()),
      draining: state.draining,
    }
    const ready = checks.database && checks.store && !checks.draining
    return reply.status(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks })
  })
}

async function passes(log: Deps['log'], check: () => Promise<void>): Promise<boolean> {
  try {
    await check()
    return true
  } catch (error) {
    log.warn({ err: error }, 'readiness check failed')
    return false
  }
}
