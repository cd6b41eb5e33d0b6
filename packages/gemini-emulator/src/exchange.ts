import type { IncomingMessage, ServerResponse } from 'node:http'

import type { LoggedRequest } from './request-log.ts'

/** One request under way and the ways to break it off. */
export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  entry: LoggedRequest
  /** Aborted as soon as the connection or the answer is over. */
  closed: AbortSignal
  /** Ends the connection from this side, so that it does not count as aborted by the caller. */
  hangUp: (how: 'reset' | 'fin') => void
}

export function createExchange(
  request: IncomingMessage,
  response: ServerResponse,
  entry: LoggedRequest,
  onClosed: () => void,
): Exchange {
  const closed = new AbortController()
  let hungUp = false
  response.on('close', () => {
    entry.closedAt = Date.now()
    entry.aborted = !response.writableFinished && !hungUp
    closed.abort()
    onClosed()
  })
  return {
    request,
    response,
    entry,
    closed: closed.signal,
    hangUp: (how) => {
      hungUp = true
      const { socket } = request
      if (how === 'reset') socket.resetAndDestroy()
      else socket.end(() => socket.destroy())
    },
  }
}

export function untilClosed({ closed }: Exchange): Promise<void> {
  if (closed.aborted) return Promise.resolve()
  return new Promise((resolve) => closed.addEventListener('abort', () => resolve(), { once: true }))
}
