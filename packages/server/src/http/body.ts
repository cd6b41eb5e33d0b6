import { isUtf8 } from 'node:buffer'
import { type Readable, Writable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { JsonCutter } from './json-cutter.ts'
import { parseJson } from './json.ts'
import { type Form, readForm } from './multipart.ts'
import { parseQuery, type Query, queryOf } from './query.ts'
import { receive } from './receive.ts'
import { limitsOf, textLimit } from './uploads.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The query, parsed strictly. */
    searchParams: Query
    /** The JSON body as it was sent, with marks in place of large images. */
    jsonText: string | undefined
    /** Puts the images back into what was parsed from that text. */
    restoreImages: (value: unknown) => unknown
    /** The body where it was a form; `body` is undefined then. */
    form: Form | undefined
  }
}

const MAX_URL_BYTES = 8 * 1024

/** Headers of which a second, different value would be dropped silently. */
const SINGLE = ['content-type', 'content-length', 'host']

/** Milliseconds that a body may take. */
export interface BodyTimeouts {
  readonly body: number
  readonly upload: number
}

/** How request bodies and queries are read: JSON and forms, bounded in size, depth and time. */
export function addBodyParsing(app: FastifyInstance, deps: Deps, timeouts: BodyTimeouts): void {
  app.decorateRequest('searchParams')
  app.decorateRequest('jsonText', undefined)
  app.decorateRequest('restoreImages', asIs)
  app.decorateRequest('form', undefined)
  app.decorateRequest('receivedBytes', 0)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request: FastifyRequest, payload: Readable) =>
    readJson(deps, request, payload),
  )
  app.addContentTypeParser(
    'multipart/form-data',
    async (request: FastifyRequest, payload: Readable) => {
      const limits = limitsOf(request, deps)
      if (limits === undefined) throw new AppError('unsupported_media_type')
      request.form = await readForm(request, payload, limits)
    },
  )

  app.addHook('onRequest', (request, _reply, done) => {
    checkTarget(request)
    // Before its body: the type or size of what nobody reads does not matter.
    if (request.is404) throw new AppError('route_not_found')
    checkHeaders(request)
    request.searchParams = parseQuery(queryOf(request.url))
    done()
  })

  // Node would ask for the body before anybody has looked at the headers.
  app.server.on('checkContinue', (request, response) =>
    app.server.emit('request', request, response),
  )
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue()
    const timer = setTimeout(
      () => payload.emit('error', new AppError('request_timeout')),
      request.upload === undefined ? timeouts.body : timeouts.upload,
    )
    for (const event of ['end', 'error', 'close']) payload.once(event, () => clearTimeout(timer))
    done(null, payload)
  })
}

const asIs = (value: unknown): unknown => value

async function readJson(deps: Deps, request: FastifyRequest, payload: Readable): Promise<unknown> {
  const textBytes = textLimit(request.server)
  const { imageBytes, bodyBytes = textBytes } = limitsOf(request, deps) ?? {}
  const cutter = new JsonCutter({ textBytes, imageBytes })
  await receive(request, payload, sinkOf(cutter), bodyBytes)
  const bytes = cutter.end()
  // Decoding would put U+FFFD in place of what is no UTF-8.
  if (!isUtf8(bytes)) throw new AppError('invalid_json')
  const text = bytes.toString()
  if (text === '') return undefined
  const value = parseJson(text)
  request.jsonText = text
  request.restoreImages = (one) => cutter.restore(one)
  return cutter.restore(value)
}

const sinkOf = (cutter: JsonCutter): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        cutter.push(chunk)
        done()
      } catch (error) {
        done(error as Error)
      }
    },
  })

function checkTarget(request: FastifyRequest): void {
  const { url } = request.raw
  if (url !== undefined && url.length > MAX_URL_BYTES) throw new AppError('uri_too_long')
}

function checkHeaders(request: FastifyRequest): void {
  const { rawHeaders, headers } = request.raw
  const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
  const twice = SINGLE.find((name) => names.indexOf(name) !== names.lastIndexOf(name))
  if (twice !== undefined) throw new AppError('invalid_input', `The header ${twice} stands twice.`)
  if (headers.host === undefined && request.raw.httpVersion !== '1.0') {
    throw new AppError('invalid_input', 'The header host is missing.')
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new AppError('unsupported_media_type', 'Compressed bodies are not taken.')
  }
}
