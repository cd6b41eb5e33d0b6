import { ERRORS, isErrorCode } from '@nanobanana/shared/errors'
import type { Bounds } from './bounds.ts'
import type { WithResponse } from './call.ts'
import { fromBody, PermissionDeniedError } from './errors.ts'
import type { GenerationResult } from './results.ts'
import type { Send } from './send.ts'
import { sleep } from './sleep.ts'

export type Answered = WithResponse<GenerationResult>

const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 10_000
const GROWTH = 1.5

const hasEnded = ({ status }: GenerationResult): boolean =>
  status !== 'queued' && status !== 'running'

/**
 * Reads a generation until it has ended; throws as what it failed.
 *
 * @param ask asks otherwise, for a key that may generate but not read
 */
export async function follow(
  send: Send,
  id: string,
  bounds: Bounds,
  { from, ask }: { from?: Answered; ask?: () => Promise<Answered> } = {},
): Promise<Answered> {
  let mayRead = true
  let answered = from
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * GROWTH, LONGEST_DELAY_MS)) {
    if (answered !== undefined) {
      if (hasEnded(answered.data)) return unlessFailed(answered)
      await sleep(untilNext(answered, delayMs, bounds), bounds.signal)
    }
    try {
      answered =
        mayRead || ask === undefined
          ? await send({ type: 'query', path: 'generations.get', input: { id } }, bounds)
          : await ask()
    } catch (error) {
      if (!(error instanceof PermissionDeniedError) || ask === undefined || !mayRead) throw error
      mayRead = false
    }
  }
}

/** No longer than there is time: the next attempt then says that it is over. */
function untilNext({ headers }: Answered, delayMs: number, bounds: Bounds): number {
  const seconds = Number(headers.get('retry-after') ?? 0)
  const told = Number.isFinite(seconds) ? seconds * 1000 : 0
  return Math.min(Math.max(delayMs, told), Math.max(0, bounds.remainingMs()))
}

function unlessFailed(answered: Answered): Answered {
  const { status, error, id } = answered.data
  if (status !== 'failed' || error === null) return answered
  const known = isErrorCode(error.code) ? ERRORS[error.code] : undefined
  throw fromBody(
    { ...(error as { type: never; code: never; message: string }), param: null, request_id: '' },
    {
      status: known?.status ?? 500,
      requestId: answered.requestId,
      generationId: id,
      retryAfterMs: undefined,
      shouldRetry: undefined,
    },
  )
}
