import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

import { asEvents, streamPieces } from './event-stream.ts'
import { untilClosed } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { isObject } from './json.ts'
import { FILLER } from './reply.ts'
import type { Ending, JsonReply, RawReply, Reply } from './reply.ts'
import type { ScenarioSettings } from './scenario-settings.ts'

export type Pace = Pick<ScenarioSettings, 'delayMs' | 'pauseMs' | 'sliceBytes' | 'gzip' | 'headers'>

/** The form an answer takes: one JSON body, a JSON array, or server-sent events. */
export type Face = 'json' | 'json-array' | 'events'

const compress = promisify(gzip)
const FILLER_CHUNK = Buffer.alloc(64 * 1024, 'A')
// A reset throws away what the peer has not read yet; this gives it time to see the first half.
const RESET_AFTER_MS = 30

const GOOGLE_HEADERS = {
  'alt-svc': 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000',
  server: 'scaffolding on HTTPServer2',
  vary: 'Origin, X-Origin, Referer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
  'x-xss-protection': '0',
}

/** Plays a reply to its end, or until the caller goes away. */
export async function sendReply(
  exchange: Exchange,
  reply: Reply,
  face: Face = 'json',
  pace: Pace = {},
): Promise<void> {
  if (pace.delayMs) await sleep(pace.delayMs, undefined, { signal: exchange.closed })
  if (reply.kind !== 'hang-up') return sendBody(exchange, reply, face, pace)
  if (reply.how === 'silence') return untilClosed(exchange)
  exchange.hangUp(reply.how)
}

async function sendBody(
  exchange: Exchange,
  reply: JsonReply | RawReply,
  face: Face,
  pace: Pace,
): Promise<void> {
  const text = bodyText(reply, face)
  const zipped = Boolean(pace.gzip && text && acceptsGzip(exchange) && !isFilled(reply))
  const bytes = zipped ? await compress(text) : Buffer.from(text)
  writeHead(exchange, reply, face, pace, zipped)
  const ending = reply.ending ?? 'complete'
  const whole = ending === 'complete' ? bytes : bytes.subarray(0, bytes.length / 2)
  const chunks = isFilled(reply) ? filled(text, reply.fillerBytes ?? 0) : sliced(whole, pace)
  for (const chunk of chunks) {
    await write(exchange, chunk)
    if (pace.pauseMs) await sleep(pace.pauseMs, undefined, { signal: exchange.closed })
  }
  await finish(exchange, ending, pace)
}

function bodyText(reply: JsonReply | RawReply, face: Face): string {
  if (reply.kind === 'raw') return reply.text
  const streams = face !== 'json' && reply.status === 200 && isObject(reply.body)
  if (!streams) return JSON.stringify(reply.body)
  const pieces = streamPieces(reply)
  if (face === 'events') return asEvents(pieces)
  return `[${pieces.map((piece) => JSON.stringify(piece)).join(',\r\n')}]`
}

function writeHead(
  { response, entry }: Exchange,
  reply: JsonReply | RawReply,
  face: Face,
  pace: Pace,
  zipped: boolean,
): void {
  const type = contentType(reply, face)
  entry.status = reply.status
  response.writeHead(reply.status, {
    ...GOOGLE_HEADERS,
    ...(type && { 'content-type': type }),
    'server-timing': `gfet4t7; dur=${Date.now() - entry.startedAt}`,
    ...(face === 'events' && { 'content-disposition': 'attachment' }),
    ...(zipped && { 'content-encoding': 'gzip' }),
    ...reply.headers,
    ...pace.headers,
  })
}

function contentType(reply: JsonReply | RawReply, face: Face): string {
  if (reply.kind === 'raw') return reply.contentType
  return face === 'events' ? 'text/event-stream' : 'application/json; charset=UTF-8'
}

function* sliced(bytes: Buffer, { pauseMs, sliceBytes }: Pace): Generator<Buffer> {
  const size = sliceBytes || (pauseMs ? Math.ceil(bytes.length / 10) : bytes.length)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function* filled(text: string, fillerBytes: number): Generator<Buffer> {
  const [head = '', tail = ''] = text.split(FILLER)
  yield Buffer.from(head)
  const length = Math.ceil(fillerBytes / 4) * 4
  for (let at = 0; at < length; at += FILLER_CHUNK.length) {
    yield FILLER_CHUNK.subarray(0, Math.min(FILLER_CHUNK.length, length - at))
  }
  yield Buffer.from(tail)
}

function isFilled(reply: JsonReply | RawReply): reply is JsonReply {
  return reply.kind === 'json' && reply.fillerBytes !== undefined
}

async function write({ response, closed }: Exchange, chunk: Buffer | string): Promise<void> {
  closed.throwIfAborted()
  if (!response.write(chunk)) await once(response, 'drain', { signal: closed })
}

async function finish(exchange: Exchange, ending: Ending, pace: Pace): Promise<void> {
  const { response, closed } = exchange
  if (ending === 'stall') return untilClosed(exchange)
  if (ending === 'complete' || ending === 'truncated') {
    response.end()
    return
  }
  if (ending === 'endless') {
    for (;;) {
      await sleep(pace.pauseMs ?? 50, undefined, { signal: closed })
      await write(exchange, ' ')
    }
  }
  await sleep(RESET_AFTER_MS, undefined, { signal: closed })
  exchange.hangUp(ending)
}

function acceptsGzip({ request }: Exchange): boolean {
  return String(request.headers['accept-encoding'] ?? '').includes('gzip')
}
