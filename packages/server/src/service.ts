import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { type AppOverrides, createApp } from './app.ts'
import { BootError, type Config } from './config.ts'
import { releaseLeases } from './features/generations/generations.service.ts'
import { createMetricsServer } from './http/metrics-server.ts'
import { createHttpServer, type HttpOptions, type HttpServer } from './http/server.ts'
import { type Job, startWorkers } from './jobs/generations.ts'
import { startSpool } from './jobs/spool.ts'
import { startWebhooks } from './jobs/webhooks.ts'
import type { Deps } from './kernel/deps.ts'

export interface ServiceOverrides
  extends AppOverrides, Pick<HttpOptions, 'timeouts' | 'inFlight'> {}

/** The app with its entrances. */
export interface Service extends AsyncDisposable {
  readonly http: HttpServer
  readonly deps: Deps
  /** Opens the ports; resolves to the address of the service. */
  listen(): Promise<string>
  /** Where /metrics is; undefined where METRICS_PORT is unset. */
  readonly metrics: FastifyInstance | undefined
  /** From now on /readyz says no, and each answer closes its connection. */
  drain(): void
  /** Closes the port; resolves when nothing is at work any more, whoever waits for it. */
  finish(): Promise<void>
  /** Leaves what still runs here to other processes. */
  release(): Promise<void>
  /** Ends what is in flight, then everything else. */
  close(): Promise<void>
}

const POLL_MS = 50

export async function createService(
  config: Config,
  overrides: ServiceOverrides = {},
): Promise<Service> {
  const app = await createApp(config, overrides)
  const { deps } = app
  const { timeouts, inFlight } = overrides
  const http = await createHttpServer(deps, {
    trustProxy: config.server.trustProxy,
    corsOrigins: config.server.corsOrigins,
    docs: config.server.docs,
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(inFlight === undefined ? {} : { inFlight }),
  }).catch(async (error: unknown) => {
    await app.close()
    throw error
  })
  const { metricsPort } = config.server
  const metrics = metricsPort === undefined ? undefined : createMetricsServer(deps, http.state)
  const { workers } = config.jobs
  const jobs: Job[] = workers > 0 ? [startWorkers(deps, workers), startSpool(deps)] : []
  const stopJobs = () => Promise.all(jobs.map((job) => job.stop()))
  const drain = () => {
    http.state.draining = true
    // Others take what waits.
    void stopJobs()
  }
  const finish = async () => {
    drain()
    await Promise.all([http.app.close(), stopJobs()])
    while (deps.leases.held.size > 0) await sleep(POLL_MS)
  }
  const close = async () => {
    await finish()
    await metrics?.close()
    await app.close()
  }
  return {
    http,
    deps,
    metrics,
    async listen() {
      await openMetrics(deps, metrics, config)
      const { host, port } = config.server
      await app.setAddress(await openPort(http.app, 'PORT', host, port))
      // From now on the addresses of images are known.
      if (workers > 0) jobs.push(startWebhooks(deps))
      return deps.settings.publicUrl
    },
    drain,
    finish,
    release: () => releaseLeases(deps),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Next to an embedded database there is one machine, whose figures are nobody else's business. */
export async function openMetrics(
  deps: Pick<Deps, 'metrics'>,
  server: FastifyInstance | undefined,
  { server: { host, metricsPort }, database }: Config,
): Promise<void> {
  if (server === undefined || metricsPort === undefined) return
  deps.metrics.watchProcess()
  const own = database.url === undefined ? '127.0.0.1' : host
  await openPort(server, 'METRICS_PORT', own, metricsPort)
}

type PortName = 'PORT' | 'METRICS_PORT'

async function openPort(
  app: FastifyInstance,
  name: PortName,
  host: string,
  port: number,
): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const why = whyNoPort((error as NodeJS.ErrnoException).code, name, host, port)
    throw why === undefined ? error : new BootError(why, { cause: error })
  }
}

const SAMPLES = { PORT: 3000, METRICS_PORT: 9090 } as const

function whyNoPort(
  code: string | undefined,
  name: PortName,
  host: string,
  port: number,
): string | undefined {
  if (code === 'EADDRINUSE') {
    const other = port === 65_535 ? port - 1 : port + 1
    return `${name} ${port} is in use on ${host}; stop what uses it or choose another: ${name}=${other}`
  }
  if (code === 'EACCES') {
    return `${name} ${port} on ${host} is not for this process; choose one above 1023: ${name}=${SAMPLES[name]}`
  }
  return undefined
}
