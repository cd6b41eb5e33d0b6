import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerOf } from '../../features/generations/answering.ts'
import { longestWait } from '../../features/generations/generate.service.ts'
import { waitForEnd } from '../../features/generations/waiting.ts'
import type { Deps } from '../../kernel/deps.ts'
import { uuidOf } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import { logFailure } from '../errors.ts'
import { eventOf, sendLines, withHeartbeats } from '../sse.ts'
import type { ImageEvent } from './answer-schema.ts'
import { completedEvents } from './answer.ts'
import { renamed } from './errors.ts'

/** A generation that has begun, and what is told once it has ended. */
export interface Streamed {
  readonly id: string
  /** Type of the event with an image. */
  readonly event: ImageEvent['type']
}

/** Answers the images of a generation as OpenAI's events; what fails from now on is one too. */
export function sendStream(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  principal: Principal,
  streamed: Streamed,
): FastifyReply {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  const lines = linesOf(deps, request, principal, streamed, gone.signal)
  return sendLines(reply, withHeartbeats(lines))
}

async function* linesOf(
  deps: Deps,
  request: FastifyRequest,
  principal: Principal,
  { id, event }: Streamed,
  signal: AbortSignal,
): AsyncGenerator<string> {
  try {
    await waitForEnd(deps, uuidOf(id), longestWait(deps), signal)
    if (signal.aborted) return
    const { generation } = await answerOf(deps, principal, uuidOf(id))
    for await (const one of completedEvents(deps, principal, generation, event))
      yield eventOf(event, one)
  } catch (error) {
    const failure = renamed(error)
    logFailure(request.log, failure)
    yield eventOf('error', { type: 'error', error: failure.toBody(request.id) })
  }
}
