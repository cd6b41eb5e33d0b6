import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'

/** Stands between the service and a server it calls, and sees when each call begins and ends. */
export interface Witness extends AsyncDisposable {
  readonly url: string
  /** Hears of calls until the next one listens; by default nobody does. */
  listener: (event: 'begun' | 'ended', method: string) => void
}

export async function startWitness(target: string): Promise<Witness> {
  const server = http.createServer((request, response) => {
    const { method = '', url: path = '', headers } = request
    witness.listener('begun', method)
    const forwarded = http.request(target + path, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
      answer.once('end', () => witness.listener('ended', method))
    })
    forwarded.on('error', () => response.destroy())
    request.on('error', () => forwarded.destroy())
    // What is cut on one side is cut on the other, as on a wire.
    response.once('close', () => forwarded.destroy())
    request.pipe(forwarded)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const witness: Witness = {
    url: `http://127.0.0.1:${port}`,
    listener: () => {},
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return witness
}
