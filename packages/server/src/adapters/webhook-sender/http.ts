import { Resolver } from 'node:dns/promises'
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, isIPv4, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebhookAnswer, WebhookMessage, WebhookSender } from '../../ports/webhook-sender.ts'
import { hostOf, parseEndpoint, portOf } from './endpoint-url.ts'
import { isPublicAddress } from './public-address.ts'
import { type Resolve, resolveBy, resolveLocally } from './resolve.ts'
import { retryAfterSeconds } from './retry-after.ts'

export interface HttpWebhookSenderOptions {
  /** For development and tests: http, any port and any address. */
  readonly allowPrivate: boolean
  /** Default: the name servers of this machine; with `allowPrivate` as the system does. */
  readonly resolve?: Resolve
  /** Default 443 and 80; any with `allowPrivate`. */
  readonly ports?: readonly number[]
  /** Milliseconds; default 5 s for a name, 5 s to be connected, 15 s for all of it. */
  readonly timeouts?: { readonly connectMs: number; readonly totalMs: number }
}

const PORTS = [443, 80]
const TIMEOUTS = { connectMs: 5000, totalMs: 15_000 }
const DNS = { timeout: 1500, tries: 2 }
/** Of the answer, which nobody looks at; some servers complain of a connection that ends before. */
const MAX_ANSWER_BYTES = 64 * 1024

/** The same for a name that has no address and for one that is not public: it tells nothing of our network. */
const NO_PUBLIC_HOST = 'must name a host that has addresses, all of them public'

/** Sends over node's own client, a connection for each message. */
export function createHttpWebhookSender(options: HttpWebhookSenderOptions): WebhookSender {
  const { allowPrivate, ports = PORTS, timeouts = TIMEOUTS } = options
  const resolve = options.resolve ?? (allowPrivate ? resolveLocally : resolveBy(new Resolver(DNS)))

  /** The address to connect to; rejects unless every one of the host's may be. */
  async function addressOf(url: URL): Promise<string> {
    const host = hostOf(url)
    const addresses = isIP(host) === 0 ? await within(timeouts.connectMs, resolve(host)) : [host]
    const [first] = addresses
    if (first === undefined) throw new Error('no address')
    if (!allowPrivate && !addresses.every(isPublicAddress)) throw new Error('not public')
    // Not every machine has a way out over IPv6.
    return addresses.find(isIPv4) ?? first
  }

  return {
    async check(text) {
      const url = parseEndpoint(text, { allowPrivate, ports })
      if (typeof url === 'string') return { fault: url }
      try {
        await addressOf(url)
        return { url: url.href }
      } catch {
        return { fault: NO_PUBLIC_HOST }
      }
    },

    async send(message) {
      const signal = AbortSignal.timeout(timeouts.totalMs)
      const url = parseEndpoint(message.url, { allowPrivate, ports })
      if (typeof url === 'string') return undefined
      try {
        const address = await addressOf(url)
        if (signal.aborted) return undefined
        return await post(url, address, message, { signal, connectMs: timeouts.connectMs })
      } catch {
        return undefined
      }
    },
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = sleep(ms, undefined, { signal: done.signal }).then(() => {
    throw new Error('too late')
  })
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort()
  }
}

interface Limits {
  readonly signal: AbortSignal
  readonly connectMs: number
}

/** Resolves as the answer has been read, or enough of it; rejects where there was none. */
function post(
  url: URL,
  address: string,
  message: WebhookMessage,
  { signal, connectMs }: Limits,
): Promise<WebhookAnswer> {
  return new Promise((resolve, reject) => {
    let answer: WebhookAnswer
    // The status is the answer, whatever becomes of the rest.
    const settle = () => (answer === undefined ? reject(new Error('no answer')) : resolve(answer))
    const request = open(url, address, message, signal)
    request.on('error', settle)
    request.on('close', settle)
    limitConnect(request, connectMs)
    request.on('response', (response) => {
      answer = {
        status: response.statusCode ?? 0,
        retryAfterSeconds: retryAfterSeconds(response.headers['retry-after'], Date.now()),
      }
      response.on('error', settle)
      discard(response)
    })
    request.end(message.body)
  })
}

function open(
  url: URL,
  address: string,
  message: WebhookMessage,
  signal: AbortSignal,
): ClientRequest {
  const host = hostOf(url)
  const isSecure = url.protocol === 'https:'
  return (isSecure ? requestHttps : requestHttp)({
    method: 'POST',
    // Of the address that was checked: nothing is looked up again.
    host: address,
    port: portOf(url),
    path: `${url.pathname}${url.search}`,
    setHost: false,
    // No pool, so that no connection outlives its check.
    agent: false,
    signal,
    ...(isSecure ? { servername: isIP(host) === 0 ? host.replace(/\.$/, '') : '' } : {}),
    headers: {
      host: url.host,
      'user-agent': 'NanoBanana-Webhooks/1.0',
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(message.body),
      'accept-encoding': 'identity',
      connection: 'close',
      ...message.headers,
    },
  })
}

function limitConnect(request: ClientRequest, connectMs: number): void {
  const late = setTimeout(() => request.destroy(new Error('not connected in time')), connectMs)
  const connected = () => clearTimeout(late)
  request.on('close', connected)
  request.on('socket', (socket: Socket) => {
    socket.once('encrypted' in socket ? 'secureConnect' : 'connect', connected)
  })
}

function discard(response: IncomingMessage): void {
  let left = MAX_ANSWER_BYTES
  response.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left <= 0) response.destroy()
  })
}
