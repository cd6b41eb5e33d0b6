import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { follow, type Followed } from '../features/generations/following.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { uuidOf } from '../kernel/ids.ts'
import { authenticate } from './authenticate.ts'
import { startWaiting } from './overload.ts'
import { eventOf, sendLines, withHeartbeats } from './sse.ts'

/** How soon a client whose connection broke comes back. */
const RETRY_MS = 1000

/**
 * Ends the streams of a server that closes; their clients go on elsewhere from the last event. What
 * runs here is told to its end, for which the process waits anyway.
 */
const closing = new WeakMap<FastifyInstance['server'], AbortController>()

export function endStreamsOnClose(app: FastifyInstance): void {
  const ends = new AbortController()
  closing.set(app.server, ends)
  app.addHook('preClose', async () => ends.abort())
}

/** Answers the events of a generation as they come, from the one after `Last-Event-ID` on. */
export async function sendEvents(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  generationId: string,
): Promise<void> {
  const principal = await authenticate(deps, request)
  startWaiting(request)
  const after = lastEventOf(request)
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  const id = uuidOf(generationId)
  const closed = deps.leases.held.has(id) ? undefined : closing.get(request.server.server)?.signal
  const signal = closed === undefined ? gone.signal : AbortSignal.any([gone.signal, closed])
  const events = follow(deps, principal, id, after, signal)
  await sendLines(reply, withHeartbeats(linesOf(events, signal)))
}

function lastEventOf({ headers }: FastifyRequest): number {
  const value = headers['last-event-id']
  if (value === undefined || value === '') return 0
  if (typeof value === 'string' && /^\d{1,9}$/.test(value)) return Number(value)
  throw new AppError('invalid_input', 'Last-Event-ID: must be the id of an earlier event.', {
    param: 'Last-Event-ID',
  })
}

async function* linesOf(
  events: AsyncGenerator<Followed>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`
  for await (const { sequence, event } of events) {
    if (signal.aborted) return
    yield `id: ${sequence}\n${eventOf(event.type, event)}`
  }
}
