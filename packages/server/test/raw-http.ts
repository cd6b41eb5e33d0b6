import { type AddressInfo, connect, type Socket } from 'node:net'
import type { TestApp } from './harness.ts'

export interface RawAnswer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly text: string
  /** Milliseconds from the connection to its end. */
  readonly ms: number
  /** Whether the server closed the connection. */
  readonly closed: boolean
}

export interface RawOptions {
  /** Gives up and closes after this long; default 5000. */
  readonly timeoutMs?: number
  /** Writes to the open socket, for clients that are slow or never end. */
  readonly write?: (socket: Socket) => void
}

/** Opens the app's port and answers where it is, whatever address the app calls its own. */
export async function openPort(app: TestApp): Promise<number> {
  await app.listen()
  return (app.service.http.app.server.address() as AddressInfo).port
}

/** Says something to a server on a bare socket and answers what it says until it closes. */
export function say(port: number, text: string, options: RawOptions = {}): Promise<RawAnswer> {
  const { timeoutMs = 5000, write } = options
  return new Promise((resolve) => {
    const started = performance.now()
    const chunks: Buffer[] = []
    let closed = true
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(text, 'latin1')
      write?.(socket)
    })
    const timer = setTimeout(() => {
      closed = false
      socket.destroy()
    }, timeoutMs)
    socket.on('data', (chunk) => chunks.push(chunk))
    // A server that closes on a client still writing resets the connection.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      const ms = performance.now() - started
      resolve({ ...parse(Buffer.concat(chunks).toString()), ms, closed })
    })
  })
}

function parse(raw: string): Pick<RawAnswer, 'status' | 'headers' | 'text'> {
  const end = raw.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = raw.slice(0, Math.max(0, end)).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf(':')
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
    }),
  )
  return {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? 0),
    headers,
    text: end < 0 ? '' : raw.slice(end + 4),
  }
}

/** A request that asks the server to close when it has answered. */
export const requestText = (line: string, headers: readonly string[] = [], body = ''): string =>
  [`${line} HTTP/1.1`, 'Host: nanobanana.test', 'Connection: close', ...headers, '', body].join(
    '\r\n',
  )
