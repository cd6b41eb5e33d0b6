import http from 'node:http'
import https from 'node:https'
import { setImmediate } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { AnswerCutter, BLOB_MARK, type CutAnswer } from './gemini-cutter.ts'
import { composeBody, type OutgoingBody, sendBody } from './gemini-outgoing.ts'

/**
 * How far a call had come when it failed: whether it may have been billed depends on it. It is
 * `sent` from the last byte of the request on, as nobody can work on a part of it.
 */
export type CallPhase = 'connecting' | 'sent' | 'answering'

/** The call ended without an answer that could be read. */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly phase: CallPhase
  readonly kind: 'aborted' | 'network' | 'redirect' | 'too-large' | 'malformed'

  constructor(
    kind: TransportError['kind'],
    phase: CallPhase,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.kind = kind
    this.phase = phase
  }
}

export interface TransportOptions {
  /** Bytes of an answer that are taken at most. */
  readonly maxAnswerBytes: number
  /** Milliseconds to open a connection, TLS included. */
  readonly connectTimeoutMs: number
}

/** Bytes taken before others have their turn: one fast socket would hold the event loop for 100 ms. */
const BYTES_A_TURN = 128 * 1024

/** Bytes of an error's body that are kept. */
const MAX_ERROR_BYTES = 256 * 1024

/** Gives the `fetch` of one call, whose body holds the mark of each of `blobs` in its place. */
export type Transport = (blobs?: readonly Uint8Array[]) => typeof fetch

/**
 * A `fetch` for the provider's SDK over Node's own client. The web-stream body of the global one is
 * the largest single cost of a generation, and holds the whole answer several times.
 */
export function createTransport(options: TransportOptions): Transport {
  const agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  }
  return (blobs = []) =>
    async (input, init = {}) => {
      const url = new URL(input instanceof Request ? input.url : input)
      const send = url.protocol === 'https:' ? https.request : http.request
      const body = composeBody(typeof init.body === 'string' ? init.body : '', blobs)
      const { signal } = init
      signal?.throwIfAborted()
      const request = send(url, {
        method: init.method ?? 'GET',
        headers: {
          ...Object.fromEntries(new Headers(init.headers)),
          'content-length': body.lengthBytes,
        },
        agent: agents[url.protocol as keyof typeof agents],
        ...(signal ? { signal } : {}),
      })
      boundConnecting(request, options.connectTimeoutMs)
      try {
        return (await read(
          await open(request, body, signal),
          options,
          signal,
        )) as unknown as Response
      } finally {
        // Answered before it had read the request: nothing more may go over this connection.
        if (!request.writableFinished) request.destroy()
      }
    }
}

function boundConnecting(request: http.ClientRequest, timeoutMs: number): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return
    const timer = setTimeout(
      () => request.destroy(new Error(`no connection within ${timeoutMs} ms`)),
      timeoutMs,
    )
    const opened = socket instanceof TLSSocket ? 'secureConnect' : 'connect'
    for (const event of [opened, 'close', 'error']) socket.once(event, () => clearTimeout(timer))
  })
}

function open(
  request: http.ClientRequest,
  body: OutgoingBody,
  signal: Signal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    let phase: CallPhase = 'connecting'
    request.once('finish', () => (phase = 'sent'))
    request.once('response', resolve)
    request.on('error', (error) => reject(failureOf(error, phase, signal)))
    sendBody(request, body).catch((error: Error) => request.destroy(error))
  })
}

type Signal = AbortSignal | null | undefined

/** Of an abort only the caller knows whose it was; a broken body does not even tell that it was one. */
function failureOf(error: unknown, phase: CallPhase, signal: Signal): TransportError {
  return signal?.aborted === true
    ? new TransportError('aborted', phase, 'the call was aborted', { cause: error })
    : new TransportError('network', phase, 'the connection broke', { cause: error })
}

/** As much of a `Response` as the SDK asks for. */
interface Answer {
  ok: boolean
  status: number
  statusText: string
  headers: Headers
  json(): Promise<unknown>
  text(): Promise<string>
}

async function read(
  message: http.IncomingMessage,
  options: TransportOptions,
  signal: Signal,
): Promise<Answer> {
  const status = message.statusCode ?? 0
  if (status >= 300 && status < 400) {
    message.destroy()
    throw new TransportError('redirect', 'answering', `the answer redirects (${status})`)
  }
  const facts = { statusText: message.statusMessage ?? '', headers: headersOf(message) }
  if (status < 200 || status >= 300) {
    const error = errorOf(await readError(message), message)
    const text = async () => JSON.stringify(error)
    return { ok: false, status, ...facts, json: async () => error, text }
  }
  const answer = parseAnswer(await readAnswer(message, options, signal))
  const hidden = statusOfError(answer)
  return {
    ok: hidden === undefined,
    status: hidden ?? status,
    ...facts,
    json: async () => answer,
    text: async () => JSON.stringify(answer),
  }
}

/** An error that came with a 200, which the SDK would pass on as an answer without candidates. */
function statusOfError(answer: Record<string, unknown>): number | undefined {
  const { error } = answer
  if (!isRecord(error) || listOf(answer, 'candidates').length > 0) return undefined
  const code = Number(error['code'])
  return code >= 400 && code < 600 ? code : 500
}

function headersOf(message: http.IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value)
  }
  return headers
}

/** Larger answers hold large signatures beside their pictures. */
const MAX_ROOM_BYTES = 8e6

async function readAnswer(
  message: http.IncomingMessage,
  { maxAnswerBytes }: TransportOptions,
  signal: Signal,
): Promise<CutAnswer> {
  // Whoever announces more than it sends must not take memory by a word.
  const announced = Math.min(Number(message.headers['content-length'] ?? 0), MAX_ROOM_BYTES)
  const cutter = new AnswerCutter(announced)
  let received = 0
  let sinceTurn = 0
  for await (const chunk of chunksOf(message, signal)) {
    received += chunk.length
    sinceTurn += chunk.length
    if (received > maxAnswerBytes) {
      message.destroy()
      throw new TransportError('too-large', 'answering', `more than ${maxAnswerBytes} bytes`)
    }
    cutter.push(chunk)
    if (sinceTurn < BYTES_A_TURN) continue
    sinceTurn = 0
    await setImmediate()
  }
  return cutter.end()
}

async function readError(message: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let received = 0
  try {
    for await (const chunk of message) {
      received += (chunk as Buffer).length
      if (received > MAX_ERROR_BYTES) break
      chunks.push(chunk as Buffer)
    }
  } catch {
    // An error that cannot be read whole is no JSON, but still has its status.
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function* chunksOf(message: http.IncomingMessage, signal: Signal): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of message) yield chunk as Buffer
  } catch (error) {
    throw failureOf(error, 'answering', signal)
  }
}

/** An error's JSON, or its status at least, with the one header that the SDK drops. */
function errorOf(text: string, { statusCode, headers }: http.IncomingMessage): object {
  const json = jsonOf(text)
  const body = isRecord(json) ? json : { error: { code: statusCode, message: text } }
  return { ...body, retryAfter: headers['retry-after'] }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TransportError('malformed', 'answering', 'the answer is no JSON', { cause: error })
  }
}

/** Where the SDK leaves an answer untouched, what it would drop is put: bytes and `finishMessage`. */
function parseAnswer({ text, blobs }: CutAnswer): Record<string, unknown> {
  const answer = parseJson(text)
  if (!isRecord(answer)) {
    throw new TransportError('malformed', 'answering', 'the answer is no JSON object')
  }
  for (const candidate of listOf(answer, 'candidates')) keepContent(candidate, blobs)
  return answer
}

function keepContent(candidate: unknown, blobs: CutAnswer['blobs']): void {
  if (!isRecord(candidate)) return
  const content = isRecord(candidate['content']) ? candidate['content'] : {}
  candidate['content'] = content
  if (typeof candidate['finishMessage'] === 'string') {
    content['finishMessage'] = candidate['finishMessage']
  }
  for (const part of listOf(content, 'parts')) {
    if (!isRecord(part)) continue
    const inline = part['inlineData'] ?? part['inline_data']
    if (isRecord(inline)) part['inlineData'] = { ...inline, data: blobOf(inline['data'], blobs) }
  }
}

function blobOf(data: unknown, blobs: CutAnswer['blobs']): unknown {
  const index = typeof data === 'string' ? BLOB_MARK.exec(data)?.[1] : undefined
  // Null stands for bytes that were sent, yet are no base64.
  return index === undefined ? undefined : (blobs[Number(index)] ?? null)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function listOf(value: object, name: string): unknown[] {
  const list = (value as Record<string, unknown>)[name]
  return Array.isArray(list) ? list : []
}
