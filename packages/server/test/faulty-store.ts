import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** What a put comes to. */
export type Fault =
  | 'none'
  | '503'
  | 'reset'
  | 'reset half way'
  | 'other bytes kept'
  | 'clock skew'
  | 'not to be read'

/** A bucket in memory that speaks as much of S3 as the service asks for, and fails as it is told. */
export interface FaultyStore extends AsyncDisposable {
  readonly url: string
  /** Settings of a service that uses it. */
  readonly env: Record<string, string>
  /** By path. */
  readonly objects: ReadonlyMap<string, Buffer>
  /** What happens to the puts of a path from now on. */
  fault: (path: string) => Fault
  /** Puts so far. */
  readonly puts: number
}

export async function startFaultyStore(): Promise<FaultyStore> {
  const objects = new Map<string, Buffer>()
  const state = { fault: (_path: string): Fault => 'none', puts: 0 }
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://store').pathname
    if (request.method !== 'PUT') return answer(objects, path, request, response)
    state.puts++
    put(objects, path, state.fault(path), request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return Object.assign(state, {
    url,
    objects,
    env: {
      STORAGE: 's3',
      S3_ENDPOINT: url,
      S3_BUCKET: 'pictures',
      S3_ACCESS_KEY_ID: 'key',
      S3_SECRET_ACCESS_KEY: 'secret',
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}

const etagOf = (bytes: Buffer) => `"${createHash('md5').update(bytes).digest('hex')}"`
const refuse = (response: ServerResponse, status: number, code: string) =>
  response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`)

function answer(
  objects: Map<string, Buffer>,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  request.resume()
  const bytes = objects.get(path)
  if (request.method === 'DELETE') {
    objects.delete(path)
    response.writeHead(204).end()
    return
  }
  if (bytes === undefined) return void refuse(response, 404, 'NoSuchKey')
  const headers = { etag: etagOf(bytes), 'content-length': bytes.length }
  response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : bytes)
}

async function put(
  objects: Map<string, Buffer>,
  path: string,
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (fault === 'reset half way') {
    request.once('data', () => request.socket.destroy())
    return
  }
  const sent = await buffer(request)
  if (fault === 'reset') return void request.socket.destroy()
  if (fault === '503') return void refuse(response, 503, 'ServiceUnavailable')
  if (fault === 'clock skew') return void refuse(response, 403, 'RequestTimeTooSkewed')
  const kept = fault === 'other bytes kept' ? Buffer.from('other bytes') : sent
  if (fault !== 'not to be read') objects.set(path, kept)
  response.writeHead(200, { etag: etagOf(kept) }).end()
}
