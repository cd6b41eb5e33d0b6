import { finished } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Metrics } from '../kernel/metrics.ts'

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Node takes more than ten for a leak. */
const MAX_LISTENERS = 30

/** Counts each request by its route, also one whose client did not wait for the answer. */
export function addRequestMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onRequest', (request, reply, done) => {
    const labels = labelsOf(request)
    const stop = metrics.httpSeconds.startTimer(labels)
    // Several parts of the server, and Fastify itself, hear of the end of one answer.
    reply.raw.setMaxListeners(MAX_LISTENERS)
    finished(reply.raw, (error) => {
      const status = error ? 'aborted' : `${Math.floor(reply.raw.statusCode / 100)}xx`
      metrics.httpRequests.inc({ ...labels, status })
      stop()
    })
    done()
  })
}

/** The pattern of the route, never the path: each label would be kept for ever. */
const labelsOf = ({ method, routeOptions }: FastifyRequest) => ({
  method: METHODS.has(method) ? method : 'other',
  route: routeOptions.url ?? 'none',
})
