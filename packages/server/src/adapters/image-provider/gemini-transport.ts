import http from 'node:http'
import https from 'node:https'
import { AnswerCutter, BLOB_MARK, type CutAnswer } from './gemini-cutter.ts'

/** How far a call had come when it failed: whether it may have been billed depends on it. */
export type CallPhase = 'connecting' | 'sent' | 'answering'

/** The call ended without an answer that could be read. */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly phase: CallPhase
  readonly kind: 'network' | 'redirect' | 'too-large' | 'malformed'

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

/** Bytes of an error's body that are kept. */
const MAX_ERROR_BYTES = 256 * 1024

/**
 * A `fetch` for the provider's SDK over Node's own client. The web-stream body of the global one is
 * the largest single cost of a generation, and holds the whole answer several times.
 */
export function createTransport(options: TransportOptions): typeof fetch {
  const agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  }
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const send = url.protocol === 'https:' ? https.request : http.request
    const agent = agents[url.protocol as keyof typeof agents]
    const { signal } = init
    signal?.throwIfAborted()
    const request = send(url, {
      method: init.method ?? 'GET',
      headers: Object.fromEntries(new Headers(init.headers)),
      agent,
      ...(signal ? { signal } : {}),
    })
    boundConnecting(request, options.connectTimeoutMs)
    const answer = await open(request, init.body)
    return (await read(answer, options)) as unknown as Response
  }
}

function boundConnecting(request: http.ClientRequest, timeoutMs: number): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return
    const timer = setTimeout(
      () => request.destroy(new Error(`no connection within ${timeoutMs} ms`)),
      timeoutMs,
    )
    for (const event of ['connect', 'close', 'error']) socket.once(event, () => clearTimeout(timer))
  })
}

function open(
  request: http.ClientRequest,
  body: RequestInit['body'],
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    let phase: CallPhase = 'connecting'
    request.once('socket', (socket) => {
      const connected = () => (phase = 'sent')
      if (socket.connecting) socket.once('connect', connected)
      else connected()
    })
    request.once('response', resolve)
    request.on('error', (error) => reject(abortOr(error, phase)))
    request.end(typeof body === 'string' ? body : undefined)
  })
}

/** An abort stays what it is: only the caller knows whose it was. */
function abortOr(error: Error, phase: CallPhase): Error {
  if (error.name === 'AbortError') return error
  return new TransportError('network', phase, 'the connection failed', { cause: error })
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

async function read(message: http.IncomingMessage, options: TransportOptions): Promise<Answer> {
  const status = message.statusCode ?? 0
  if (status >= 300 && status < 400) {
    message.destroy()
    throw new TransportError('redirect', 'answering', `the answer redirects (${status})`)
  }
  const facts = { statusText: message.statusMessage ?? '', headers: headersOf(message) }
  if (status < 200 || status >= 300) {
    const text = await readError(message)
    const json = async () => errorOf(text, status)
    return { ok: false, status, ...facts, json, text: async () => text }
  }
  const answer = parseAnswer(await readAnswer(message, options))
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
  if (!isRecord(error)) return undefined
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

async function readAnswer(
  message: http.IncomingMessage,
  { maxAnswerBytes }: TransportOptions,
): Promise<CutAnswer> {
  const cutter = new AnswerCutter()
  let received = 0
  for await (const chunk of chunksOf(message)) {
    received += chunk.length
    if (received > maxAnswerBytes) {
      message.destroy()
      throw new TransportError('too-large', 'answering', `more than ${maxAnswerBytes} bytes`)
    }
    cutter.push(chunk)
  }
  return cutter.end()
}

async function readError(message: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let received = 0
  for await (const chunk of chunksOf(message)) {
    received += chunk.length
    // An error that cannot be read whole is no JSON, but still has its status.
    if (received > MAX_ERROR_BYTES) break
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function* chunksOf(message: http.IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of message) yield chunk as Buffer
  } catch (error) {
    if (message.destroyed && (error as Error).name === 'AbortError') throw error
    throw new TransportError('network', 'answering', 'the answer was cut off', { cause: error })
  }
}

/** An error's JSON; of one that is none, at least the status is kept. */
function errorOf(text: string, code: number): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return { error: { code, message: text } }
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
