import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders & Record<string, string>
  readonly body: string
  // A test reads what it expects and fails where that is absent.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

/** How it answers; a status alone, or all of it. */
export type Answering = number | ((response: ServerResponse, received: Received) => void)

export interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** In the order in which they came. */
  readonly received: Received[]
  /** Connections that were opened. */
  readonly connections: () => number
  /** The most requests that were unanswered at once. */
  readonly mostAtOnce: () => number
  answer: Answering
}

/** An endpoint of webhooks on loopback. */
export async function createReceiver(answer: Answering = 204): Promise<Receiver> {
  const received: Received[] = []
  const sockets = new Set<Socket>()
  let [connections, open, most] = [0, 0, 0]
  const server = createServer(async (request, response) => {
    most = Math.max(most, ++open)
    response.on('close', () => open--)
    const body = await text(request)
    const headers = request.headers as Received['headers']
    const one = { path: request.url ?? '', headers, body, json: JSON.parse(body) }
    received.push(one)
    const how = receiver.answer
    if (typeof how === 'number') response.writeHead(how).end()
    else how(response, one)
  })
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    received,
    connections: () => connections,
    mostAtOnce: () => most,
    answer,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  return receiver
}
