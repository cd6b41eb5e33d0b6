import type { Readable, Writable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a body that was read to its end. */
    receivedBytes: number
  }
}

/**
 * Reads a body into a sink. One that is too large or too slow is left where it stands. Any other
 * fault is told when the rest has arrived: many clients read no answer while they still send.
 */
export function receive(
  request: FastifyRequest,
  payload: Readable,
  sink: Writable,
  maxBytes: number,
): Promise<void> {
  const announced = announcedBytes(request)
  if (announced !== undefined && announced > maxBytes) {
    return Promise.reject(new AppError('payload_too_large'))
  }
  return new Promise((resolve, reject) => {
    let received = 0
    let fault: Error | undefined
    let isFinished = false
    const leave = (error: Error) => {
      payload.unpipe(sink).pause()
      sink.destroy()
      reject(error)
    }
    const settle = () => {
      request.receivedBytes = received
      if (fault !== undefined) reject(fault)
      else if (announced === undefined || announced === received) resolve()
      else reject(new AppError('invalid_input', 'Content-Length does not match the body.'))
    }
    payload.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received > maxBytes) leave(new AppError('payload_too_large'))
    })
    payload.on('error', (error) => leave(fromPayload(error)))
    payload.on('end', () => {
      if (fault !== undefined || isFinished) settle()
    })
    payload.pipe(sink)
    sink.on('finish', () => {
      isFinished = true
      if (payload.readableEnded) settle()
      // What follows the end of a form; the pipe has just stopped.
      else payload.resume()
    })
    sink.on('error', (error) => {
      if (error instanceof AppError && error.code === 'payload_too_large') return leave(error)
      fault ??= error
      if (payload.readableEnded) settle()
      else payload.unpipe(sink).resume()
    })
  })
}

/** What the headers say of the body's length; undefined for a body in chunks. */
export function announcedBytes({ headers }: FastifyRequest): number | undefined {
  const length = headers['content-length']
  return length === undefined ? undefined : Number(length)
}

const fromPayload = (error: Error): AppError =>
  error instanceof AppError
    ? error
    : new AppError('invalid_input', 'The body ended early.', { cause: error })
