import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Common proxies drop a connection on which nothing was sent for a minute. */
const HEARTBEAT_MS = 15_000

/** Answers server-sent events. */
export const sendLines = (reply: FastifyReply, lines: AsyncIterable<string>): FastifyReply =>
  reply
    .type('text/event-stream; charset=utf-8')
    .header('cache-control', 'no-store')
    // nginx would gather what should go out at once.
    .header('x-accel-buffering', 'no')
    .send(Readable.from(lines, { objectMode: false }))

export const eventOf = (type: string, data: unknown): string =>
  `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`

/** What comes, with a comment whenever nothing came for a while. */
export async function* withHeartbeats(events: AsyncGenerator<string>): AsyncGenerator<string> {
  let next = events.next()
  try {
    for (;;) {
      const result = await inTime(next)
      if (result === 'late') yield ': heartbeat\n\n'
      else if (result.done === true) return
      else {
        yield result.value
        next = events.next()
      }
    }
  } finally {
    await events.return(undefined)
  }
}

async function inTime<T>(next: Promise<T>): Promise<T | 'late'> {
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
