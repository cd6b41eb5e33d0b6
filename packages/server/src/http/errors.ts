import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, toAppError } from '../kernel/app-error.ts'
import type { Log } from '../kernel/log.ts'
import { newRequestId } from '../kernel/ids.ts'
import { closeUnread } from './linger.ts'

const FASTIFY_CODES: Record<string, () => AppError> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new AppError('unsupported_media_type'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new AppError('payload_too_large'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new AppError('invalid_input', 'Content-Length does not match the body.'),
  FST_ERR_CTP_INVALID_JSON_BODY: () => new AppError('invalid_json'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new AppError('invalid_json'),
  FST_ERR_BAD_URL: () => new AppError('invalid_input', 'The URL is not valid percent-encoding.'),
  FST_ERR_MAX_PARAM_LENGTH: () => new AppError('uri_too_long'),
}

/** Our row for anything Fastify or a handler threw. */
export function fromFastify(error: unknown): AppError {
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown }
  if (typeof code !== 'string' || !code.startsWith('FST_ERR_')) return toAppError(error)
  const known = Object.hasOwn(FASTIFY_CODES, code) ? FASTIFY_CODES[code]?.() : undefined
  if (known !== undefined) return known
  const isCallers = typeof statusCode === 'number' && statusCode < 500
  return isCallers ? new AppError('invalid_input', undefined, { cause: error }) : toAppError(error)
}

/** Answers an error in the one shape; on `/trpc` inside tRPC's envelope. */
export function sendError(request: FastifyRequest, reply: FastifyReply, error: AppError): void {
  const { status } = error.row
  logFailure(request.log, error)
  // The rest of the body is not read, so the connection cannot be used again.
  if (error.code === 'payload_too_large') closeUnread(request, reply)
  if (error.code === 'request_timeout') reply.header('connection', 'close')
  const body = error.toBody(request.id)
  const isTrpc = request.url.startsWith('/trpc/')
  reply
    .status(status)
    .headers(error.toHeaders())
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(isTrpc ? trpcEnvelope(body, status) : { error: body }))
}

// JSON-RPC's code for a request that could not be understood: it never reached a procedure.
const JSON_RPC_INVALID_REQUEST = -32600

const trpcEnvelope = (body: ReturnType<AppError['toBody']>, httpStatus: number) => ({
  error: {
    message: body.message,
    code: JSON_RPC_INVALID_REQUEST,
    data: { code: 'BAD_REQUEST', httpStatus, error: body },
  },
})

/**
 * Logs what an operator should hear of: trouble of ours or of the provider's. What nobody foresaw
 * is an error, the rest a warning, each with its cause.
 */
export function logFailure(log: Log, error: AppError): void {
  const { cause, code, row } = error
  if (row.status < 500 && row.type !== 'upstream_error') return
  if (error.code === 'internal') log.error({ err: cause, code }, 'request failed')
  else log.warn({ err: cause, code }, 'request refused')
}

export function addErrorHandlers(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => sendError(request, reply, fromFastify(error)))
  app.setNotFoundHandler((request, reply) =>
    sendError(request, reply, new AppError('route_not_found')),
  )
}

/** Errors of requests that never became one: answered on the bare socket. */
export function createClientErrorHandler(headers: Record<string, string>) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
      socket.destroy()
      return
    }
    socket.end(rawResponse(fromSocket(error), headers))
  }
}

/** Whether an answer to an earlier request is on its way: ours would end up inside it. */
function isAnswering(socket: Socket): boolean {
  // Node's own handler looks there too; there is no public name for it.
  const { _httpMessage: answer } = socket as Socket & { _httpMessage?: { headersSent: boolean } }
  return answer?.headersSent === true
}

function fromSocket(error: NodeJS.ErrnoException): AppError {
  if (error.code === 'HPE_HEADER_OVERFLOW') return new AppError('headers_too_large')
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return new AppError('request_timeout')
  return new AppError('invalid_input', 'The request is not valid HTTP.')
}

function rawResponse(error: AppError, headers: Record<string, string>): string {
  const requestId = newRequestId()
  const body = JSON.stringify({ error: error.toBody(requestId) })
  const { status } = error.row
  const lines = Object.entries({
    ...headers,
    ...error.toHeaders(),
    'x-request-id': requestId,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}
