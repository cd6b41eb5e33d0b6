import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { follow, type Followed } from '../features/generations/following.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { uuidOf } from '../kernel/ids.ts'
import { authenticate } from './authenticate.ts'
import { startWaiting } from './overload.ts'

/** Common proxies drop a connection on which nothing was sent for a minute. */
const HEARTBEAT_MS = 15_000
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
  await reply
    .type('text/event-stream; charset=utf-8')
    .header('cache-control', 'no-store')
    // nginx would gather what should go out at once.
    .header('x-accel-buffering', 'no')
    .send(Readable.from(linesOf(events, signal), { objectMode: false }))
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
  let next = events.next()
  try {
    for (;;) {
      const result = await withHeartbeat(next)
      if (result === 'late') yield ': heartbeat\n\n'
      else if (result.done === true || signal.aborted) return
      else {
        const { sequence, event } = result.value
        yield `id: ${sequence}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
        next = events.next()
      }
    }
  } finally {
    await events.return(undefined)
  }
}

async function withHeartbeat<T>(next: Promise<T>): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), HEARTBEAT_MS)
  })
  try {
    return await Promise.race([next, late])
  } finally {
    clearTimeout(timer)
  }
}
