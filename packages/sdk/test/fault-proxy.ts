import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What becomes of a request. */
export type Fault =
  | 'pass'
  /** The connection is reset before the service hears of it. */
  | 'reset-before'
  /** The service does what it was asked, and its answer is lost. */
  | 'reset-after'
  /** The answer breaks off in its body, by a reset or by a proper end. */
  | 'cut-body'
  | 'end-body'
  /** The service does what it was asked, and nothing is heard of it. */
  | 'silence'
  /** Something between answers in the service's place. */
  | { readonly status: 429 | 503; readonly retryAfterSeconds: number }

/** A request as the proxy saw it. */
export interface Passing {
  readonly at: number
  readonly path: string
  readonly idempotencyKey: string | undefined
  readonly fault: Fault
}

export interface FaultProxy extends AsyncDisposable {
  readonly url: string
  readonly seen: readonly Passing[]
}

/** Stands between client and service and plays a fault for each request; one request a connection. */
export async function startFaultProxy(target: string, choose: () => Fault): Promise<FaultProxy> {
  const seen: Passing[] = []
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Its peer is told of the fault; here it is no news.
    socket.on('error', () => {})
    return socket
  }
  const server = createServer(async (client) => {
    keep(client)
    const head = await readHead(client)
    if (head === undefined) return
    const fault = choose()
    seen.push({ at: performance.now(), ...factsOf(head.text), fault })
    if (fault === 'reset-before') client.resetAndDestroy()
    else if (typeof fault === 'object') refuse(client, fault)
    else forward(client, keep(connect(Number(new URL(target).port), '127.0.0.1')), head, fault)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Head {
  readonly text: string
  /** What came of the body with it. */
  readonly rest: Buffer
}

async function readHead(client: Socket): Promise<Head | undefined> {
  let bytes = Buffer.alloc(0)
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n')
    if (end >= 0) return { text: bytes.toString('latin1', 0, end), rest: bytes.subarray(end + 4) }
    const chunk = client.read() as Buffer | null
    if (chunk !== null) bytes = Buffer.concat([bytes, chunk])
    else if (client.readableEnded || client.destroyed) return undefined
    else await once(client, 'readable').catch(() => {})
  }
}

function factsOf(head: string): Pick<Passing, 'path' | 'idempotencyKey'> {
  const path = head.split(' ', 2)[1] ?? ''
  return { path, idempotencyKey: /^idempotency-key: *(\S+)/im.exec(head)?.[1] }
}

/** As a gateway would: in its own words, with the header. */
function refuse(client: Socket, { status, retryAfterSeconds }: Exclude<Fault, string>): void {
  const lines = [
    `HTTP/1.1 ${status} Fault`,
    `retry-after: ${retryAfterSeconds}`,
    'content-length: 0',
    'connection: close',
  ]
  client.resume()
  client.end(`${lines.join('\r\n')}\r\n\r\n`)
}

function forward(client: Socket, service: Socket, head: Head, fault: Fault): void {
  service.write(`${head.text}\r\nconnection: close\r\n\r\n`, 'latin1')
  service.write(head.rest)
  client.pipe(service)
  // A client that has gone is gone for the service too.
  client.on('close', () => service.destroy())
  if (fault === 'pass') return void service.pipe(client)
  service.on('data', (chunk: Buffer) => {
    if (fault === 'reset-after') client.resetAndDestroy()
    if (fault === 'silence') return
    if (fault !== 'cut-body' && fault !== 'end-body') return
    const end = chunk.indexOf('\r\n\r\n')
    client.write(
      chunk.subarray(0, end < 0 ? 1 : end + 4 + Math.ceil((chunk.length - end) / 2)),
      () => (fault === 'cut-body' ? client.resetAndDestroy() : client.end()),
    )
    service.pause()
  })
}
