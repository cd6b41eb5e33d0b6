import type { Config, Fetch } from './config.ts'
import {
  type AnswerFacts,
  ConnectionError,
  errorBodyOf,
  fromBody,
  isTransient,
  TimeoutError,
} from './errors.ts'

/** One request and its answer: the time it has, who may end it, and what the headers said. */
export interface Exchange {
  readonly fetch: Fetch
  /** What to throw for what tRPC threw. */
  toError(thrown: unknown): unknown
  end(): void
}

interface Limits {
  /** Whether a second try could do the same thing twice. */
  readonly repeatable: boolean
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number
}

/** Above this a timer of Node and browsers fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export function startExchange(config: Config, { repeatable, signal, timeoutMs }: Limits): Exchange {
  const controller = new AbortController()
  let timedOut = false
  let sent = false
  let answer: AnswerFacts | undefined
  const onAbort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const onTimeout = () => {
    timedOut = true
    controller.abort()
  }
  const timer = timeoutMs > LONGEST_TIMER_MS ? undefined : setTimeout(onTimeout, timeoutMs)

  return {
    fetch: async (url, init) => {
      sent = true
      // A redirected POST would arrive as a GET, and the credential would go wherever it is told to.
      const response = await config.fetch(url, {
        ...init,
        redirect: 'manual',
        signal: controller.signal,
      })
      answer = factsOf(response)
      return response
    },
    toError: (thrown) => {
      if (signal?.aborted) return signal.reason
      if (timedOut) return timeout(timeoutMs, repeatable, answer)
      const body = errorBodyOf(thrown)
      if (body !== undefined && answer !== undefined) return fromBody(body, answer)
      const cause = (thrown as { cause?: unknown }).cause ?? thrown
      return sent ? connectionError(config.baseUrl, repeatable, answer, cause) : cause
    },
    end: () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    },
  }
}

function factsOf({ status, headers }: Response): AnswerFacts {
  return {
    status,
    requestId: headers.get('x-request-id') ?? undefined,
    generationId: headers.get('x-generation-id') ?? undefined,
    retryAfterMs: toMs(headers.get('retry-after')),
    shouldRetry: toBoolean(headers.get('x-should-retry')),
  }
}

/** `Retry-After` is a number of seconds or a date. */
function toMs(header: string | null): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

const toBoolean = (header: string | null): boolean | undefined =>
  header === null ? undefined : header === 'true'

const timeout = (timeoutMs: number, shouldRetry: boolean, answer: AnswerFacts | undefined) =>
  new TimeoutError(`No answer within ${timeoutMs} ms.`, { ...answer, shouldRetry })

function connectionError(
  baseUrl: string,
  repeatable: boolean,
  answer: AnswerFacts | undefined,
  cause: unknown,
): ConnectionError {
  return answer === undefined
    ? new ConnectionError(`${baseUrl} could not be reached.`, { shouldRetry: repeatable, cause })
    : new ConnectionError(`${baseUrl} answered ${answer.status}, but not as this API does.`, {
        ...answer,
        shouldRetry: isTransient(answer.status),
        cause,
      })
}
