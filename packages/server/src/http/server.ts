import { Socket } from 'node:net'
import cors from '@fastify/cors'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import { canonicalAddress } from '../kernel/client-address.ts'
import type { Deps } from '../kernel/deps.ts'
import { newRequestId } from '../kernel/ids.ts'
import { requestIdFrom } from '../kernel/log.ts'
import { appRouter } from '../router.ts'
import { addBodyParsing } from './body.ts'
import { addDocs } from './docs.ts'
import { addErrorHandlers, createClientErrorHandler, fromFastify, sendError } from './errors.ts'
import { addSecurityHeaders, responseHeaders } from './headers.ts'
import { endStreamsOnClose } from './events.ts'
import { addImages } from './images.ts'
import { addOpenAi } from './openai/routes.ts'
import { addMethodNotAllowed, type RouteFacts, watchRoutes } from './methods.ts'
import { addOverloadGate, type InFlight } from './overload.ts'
import { addRateLimits } from './rate-limits.ts'
import { addRequestMetrics } from './request-metrics.ts'
import { addRest } from './rest.ts'
import { addSystem, type Readiness } from './system.ts'
import { addTrpc } from './trpc.ts'
import { addUploadGate } from './uploads.ts'

export interface HttpOptions {
  /** Proxies whose X-Forwarded-For is believed, as CIDR ranges. */
  readonly trustProxy: readonly string[]
  readonly corsOrigins: readonly string[]
  readonly docs: boolean
  /** Tests shorten them. */
  readonly timeouts?: Partial<Timeouts>
  /** Bytes of all uploads at once; tests lower it. */
  readonly uploadsInFlightBytes?: number
  /** Requests at once; tests lower them. */
  readonly inFlight?: Partial<InFlight>
}

/** Milliseconds that a client may take. */
export interface Timeouts {
  readonly headers: number
  /** A JSON body. */
  readonly body: number
  /** A form, or a body larger than 64 kB. */
  readonly upload: number
  /** Headers and body of any kind together: Node has one bound for a whole server. */
  readonly request: number
  /** Between two looks at the bounds above, which Node does not time one by one. */
  readonly check: number
  /** Without taking any byte of the answer. */
  readonly reading: number
}

export interface HttpServer {
  readonly app: FastifyInstance
  /** Every route with who may call it. */
  readonly routes: readonly RouteFacts[]
  /** Shared with whatever else answers /readyz. */
  readonly state: Readiness
}

const JSON_BODY_BYTES = 64 * 1024
const HEADER_BYTES = 16 * 1024
const MAX_CONNECTIONS = 4096
const TIMEOUTS: Timeouts = {
  headers: 10_000,
  body: 15_000,
  upload: 60_000,
  request: 60_000,
  check: 2000,
  reading: 60_000,
}
/** 5 s above the 60 s after which common load balancers drop an idle connection. */
const KEEP_ALIVE_MS = 65_000

export async function createHttpServer(deps: Deps, options: HttpOptions): Promise<HttpServer> {
  const headers = responseHeaders(deps.settings.publicUrl)
  const timeouts = { ...TIMEOUTS, ...options.timeouts }
  const app = Fastify({
    loggerInstance: deps.log as FastifyBaseLogger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'request_id',
    }),
    genReqId: (request) => requestIdFrom(request.headers['x-request-id']) ?? newRequestId(),
    trustProxy: options.trustProxy.length > 0 ? [...options.trustProxy] : false,
    bodyLimit: JSON_BODY_BYTES,
    requestTimeout: timeouts.request,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxRequestsPerSocket: 1000,
    // Fastify would refuse in words of its own; `refuseWhenClosing` does it in ours.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: JSON_BODY_BYTES, querystringParser: () => ({}) },
    http: {
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: timeouts.headers,
      connectionsCheckingInterval: timeouts.check,
      // Node would refuse in words of its own; `body.ts` does it in ours.
      requireHostHeader: false,
    },
    clientErrorHandler: createClientErrorHandler(headers) as never,
    frameworkErrors: (error, request, reply) => {
      reply.headers(headers).header('x-request-id', request.id)
      sendError(request, reply, fromFastify(error))
    },
  })
  app.server.maxConnections = MAX_CONNECTIONS
  // An expectation we do not know is no reason to refuse, nor to answer in Node's words.
  app.server.on('checkExpectation', (request, response) =>
    app.server.emit('request', request, response),
  )
  const state: Readiness = { draining: false }
  const routes = watchRoutes(app)
  addSecurityHeaders(app, headers)
  addErrorHandlers(app)
  addAccessLog(app)
  addRequestMetrics(app, deps.metrics)
  endSlowReaders(app, timeouts.reading)
  closeWhenDraining(app, state)
  refuseWhenClosing(app)
  endStreamsOnClose(app)
  if (options.corsOrigins.length > 0) await addCors(app, options.corsOrigins)
  addOverloadGate(app, deps, options.inFlight)
  addBodyParsing(app, deps, timeouts)
  addUploadGate(app, deps, options.uploadsInFlightBytes)
  addRateLimits(app, deps)
  addRest(app, deps, appRouter)
  addTrpc(app, deps, appRouter)
  addImages(app, deps)
  addOpenAi(app, deps)
  addSystem(app, deps, state)
  await addDocs(app, deps, { page: options.docs })
  const served = [...routes]
  addMethodNotAllowed(app, served, { preflight: options.corsOrigins.length > 0 })
  return { app, routes: served, state }
}

async function addCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'authorization',
      'content-type',
      'idempotency-key',
      'last-event-id',
      'prefer',
      'x-request-id',
    ],
    exposedHeaders: [
      'x-request-id',
      'x-generation-id',
      'location',
      'retry-after',
      'ratelimit-policy',
      'ratelimit',
      'idempotent-replayed',
      'preference-applied',
      'x-should-retry',
    ],
    maxAge: 600,
    // An OPTIONS that is no preflight would be refused in the plugin's words.
    strictPreflight: false,
  })
}

/** One line a request: the path without its query, where a signature may stand. */
function addAccessLog(app: FastifyInstance): void {
  app.addHook('onResponse', (request, reply, done) => {
    request.log.info(
      {
        method: request.method,
        path: request.url.split('?', 1)[0],
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        ip: canonicalAddress(request.ip),
        generation: reply.getHeader('x-generation-id'),
      },
      'request',
    )
    done()
  })
}

/** Who asks again asks another process: a load balancer, and a client that keeps connections. */
function closeWhenDraining(app: FastifyInstance, state: Readiness): void {
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (state.draining) reply.header('connection', 'close')
    done(null, payload)
  })
}

/** Refuses what still arrives on open connections once the server closes. */
function refuseWhenClosing(app: FastifyInstance): void {
  let closing = false
  app.addHook('preClose', async () => void (closing = true))
  app.addHook('onRequest', (_request, _reply, done) =>
    done(closing ? new AppError('shutting_down', undefined, { retryAfterSeconds: 1 }) : undefined),
  )
}

/** A reader that takes nothing for a while is cut off; making the image is not counted. */
function endSlowReaders(app: FastifyInstance, timeoutMs: number): void {
  app.addHook('onSend', (request, _reply, payload, done) => {
    const { socket } = request.raw
    // Node destroys a socket that times out, and sets its keep-alive timeout over this one once the
    // answer is out. An injected request has no socket.
    if (socket instanceof Socket) socket.setTimeout(timeoutMs)
    done(null, payload)
  })
}
