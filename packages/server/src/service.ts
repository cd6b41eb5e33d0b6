import { type AppOverrides, createApp } from './app.ts'
import { BootError, type Config } from './config.ts'
import { createHttpServer, type HttpServer, type Timeouts } from './http/server.ts'
import { startWorkers } from './jobs/generations.ts'
import { startWebhooks, type WebhookJob } from './jobs/webhooks.ts'
import type { Deps } from './kernel/deps.ts'

export interface ServiceOverrides extends AppOverrides {
  readonly timeouts?: Partial<Timeouts>
}

/** The app with its entrances. */
export interface Service extends AsyncDisposable {
  readonly http: HttpServer
  readonly deps: Deps
  /** Opens the port; resolves to the address of the service. */
  listen(): Promise<string>
  /** Ends what is in flight, then everything else. */
  close(): Promise<void>
}

export async function createService(
  config: Config,
  overrides: ServiceOverrides = {},
): Promise<Service> {
  const app = await createApp(config, overrides)
  const http = await createHttpServer(app.deps, {
    trustProxy: config.server.trustProxy,
    corsOrigins: config.server.corsOrigins,
    docs: config.server.docs,
    ...(overrides.timeouts === undefined ? {} : { timeouts: overrides.timeouts }),
  }).catch(async (error: unknown) => {
    await app.close()
    throw error
  })
  const { workers: count } = config.jobs
  const workers = count === 0 ? undefined : startWorkers(app.deps, count)
  let webhooks: WebhookJob | undefined
  const close = async () => {
    http.drain()
    await Promise.all([http.app.close(), workers?.stop(), webhooks?.stop()])
    await app.close()
  }
  return {
    http,
    deps: app.deps,
    async listen() {
      await app.setAddress(await openPort(http, config.server))
      // From now on the addresses of images are known.
      if (config.jobs.workers > 0) webhooks = startWebhooks(app.deps)
      return app.deps.settings.publicUrl
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function openPort({ app }: HttpServer, { host, port }: Config['server']): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const why = whyNoPort((error as NodeJS.ErrnoException).code, host, port)
    throw why === undefined ? error : new BootError(why, { cause: error })
  }
}

function whyNoPort(code: string | undefined, host: string, port: number): string | undefined {
  if (code === 'EADDRINUSE') {
    const other = port === 65_535 ? port - 1 : port + 1
    return `PORT ${port} is in use on ${host}; stop what uses it or choose another: PORT=${other}`
  }
  if (code === 'EACCES') {
    return `PORT ${port} on ${host} is not for this process; choose one above 1023: PORT=3000`
  }
  return undefined
}
