import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as it came in. */
export interface Received {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Stub extends AsyncDisposable {
  readonly url: string
  readonly received: Received[]
}

type Answer = (request: Received, response: ServerResponse) => unknown

/** A server that answers what a test tells it to. */
export async function startStub(answer: Answer): Promise<Stub> {
  const received: Received[] = []
  const server = createServer(async (message, response) => {
    const request = await read(message)
    received.push(request)
    await answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function read(message: IncomingMessage): Promise<Received> {
  let body = ''
  for await (const chunk of message) body += String(chunk)
  const { method = '', url = '', headers } = message
  return { method, url, headers, body }
}

/** Answers a result as tRPC does. */
export const succeed = (response: ServerResponse, data: unknown): void =>
  send(response, 200, { result: { data } })

/** Answers an error as the service does on /trpc. */
export function fail(
  response: ServerResponse,
  status: number,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): void {
  const error = { message: 'No.', param: null, request_id: 'req_body', ...body }
  const data = { code: 'BAD_REQUEST', httpStatus: status, error }
  send(response, status, { error: { message: error.message, code: -32600, data } }, headers)
}

export function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** What a proxy answers when nothing is behind it. */
export function sendHtml(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/html', ...headers })
  response.end('<html><body>nobody home</body></html>')
}
