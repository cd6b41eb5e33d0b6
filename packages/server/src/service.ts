import { type AppOverrides, createApp } from './app.ts'
import type { Config } from './config.ts'
import { createHttpServer, type HttpServer, type Timeouts } from './http/server.ts'
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
  const close = async () => {
    http.drain()
    await http.app.close()
    await app.close()
  }
  return {
    http,
    deps: app.deps,
    async listen() {
      const { host, port } = config.server
      await app.setAddress(await http.app.listen({ host, port }))
      return app.deps.settings.publicUrl
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
