import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { ping } from '../db/client.ts'
import type { Deps } from '../kernel/deps.ts'

/** How long an answer about the database and the store is good. */
const KEPT_MS = 2000
const CHECK_TIMEOUT_MS = 2000

type Check = () => Promise<void>

/** What the process itself says of being ready. */
export interface Readiness {
  /** It still serves, and is about to end. */
  draining: boolean
}

/** What an orchestrator asks. */
export function addSystem(app: FastifyInstance, deps: Deps, state: Readiness): void {
  const config = { policy: { kind: 'public' } } as const
  app.get('/healthz', { config }, async () => ({ status: 'ok' }))

  const database = oneAtOnce(() => ping(deps.db))
  const store = oneAtOnce(() => deps.objectStore.check())
  const probe = keepBriefly(async (log: Deps['log']) => {
    const [databasePasses, storePasses] = await Promise.all([
      passes(log, database),
      passes(log, store),
    ])
    return { database: databasePasses, store: storePasses }
  })
  app.get('/readyz', { config }, async (request, reply) => {
    const checks = { ...(await probe(request.log)), draining: state.draining }
    const ready = checks.database && checks.store && !checks.draining
    return reply.status(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks })
  })
}

async function passes(log: Deps['log'], check: Check): Promise<boolean> {
  try {
    await withDeadline(check())
    return true
  } catch (error) {
    log.warn({ err: error }, 'readiness check failed')
    return false
  }
}

async function withDeadline(work: Promise<void>): Promise<void> {
  const done = new AbortController()
  const late = async () => {
    await sleep(CHECK_TIMEOUT_MS, undefined, { signal: done.signal })
    throw new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`)
  }
  try {
    await Promise.race([work, late()])
  } finally {
    done.abort()
  }
}

/** A check that outlives its deadline is waited for again, not begun anew. */
function oneAtOnce(check: Check): Check {
  let running: Promise<void> | undefined
  return () => {
    running ??= check().finally(() => {
      running = undefined
    })
    return running
  }
}

/** Anybody may ask as often as they like; the parts are asked once in a while. */
function keepBriefly<A, T>(ask: (argument: A) => Promise<T>): (argument: A) => Promise<T> {
  let answer: Promise<T> | undefined
  let goodUntil = 0
  return (argument) => {
    if (answer === undefined || performance.now() >= goodUntil) {
      goodUntil = Infinity
      answer = ask(argument).finally(() => {
        goodUntil = performance.now() + KEPT_MS
      })
    }
    return answer
  }
}
