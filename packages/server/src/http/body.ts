import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import { parseJson } from './json.ts'
import { parseQuery, type Query, queryOf } from './query.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The query, parsed strictly. */
    searchParams: Query
    /** The JSON body as it was sent. */
    jsonText: string | undefined
  }
}

const MAX_URL_BYTES = 8 * 1024

/** Headers of which a second, different value would be dropped silently. */
const SINGLE = ['content-type', 'content-length', 'host']

/** How request bodies and queries are read: JSON only, bounded in size, depth and time. */
export function addBodyParsing(app: FastifyInstance, timeoutMs: number): void {
  app.decorateRequest('searchParams')
  app.decorateRequest('jsonText', undefined)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    // Decoding would put U+FFFD in place of what is no UTF-8.
    if (!isUtf8(body as Buffer)) return done(new AppError('invalid_json'))
    const text = body.toString()
    if (text === '') return done(null, undefined)
    try {
      const value = parseJson(text)
      request.jsonText = text
      return done(null, value)
    } catch (error) {
      return done(error as Error)
    }
  })

  app.addHook('onRequest', (request, _reply, done) => {
    checkTarget(request)
    // Before its body: the type or size of what nobody reads does not matter.
    if (request.is404) throw new AppError('route_not_found')
    checkHeaders(request)
    request.searchParams = parseQuery(queryOf(request.url))
    done()
  })

  app.addHook('preParsing', (_request, _reply, payload, done) => {
    const timer = setTimeout(
      () => payload.emit('error', new AppError('request_timeout')),
      timeoutMs,
    )
    for (const event of ['end', 'error', 'close']) payload.once(event, () => clearTimeout(timer))
    done(null, payload)
  })
}

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
