import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Listener {
  /** Without a trailing slash. */
  origin: string
  close: () => Promise<void>
}

/** Opens an HTTP server; closing it destroys what is still under way. */
export async function listen(
  answer: RequestListener,
  { port = 0, host = '127.0.0.1' } = {},
): Promise<Listener> {
  const server = createServer({ requestTimeout: 0 }, answer)
  // Longer than any client keeps an idle connection, so that none is closed just when it is reused.
  server.keepAliveTimeout = 120_000
  server.listen(port, host)
  await once(server, 'listening')
  const { port: bound } = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  return {
    origin: `http://${name}:${bound}`,
    close: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
