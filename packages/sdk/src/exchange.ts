import type { Bounds } from './bounds.ts'
import type { Config, Fetch } from './config.ts'
import {
  type AnswerFacts,
  ConnectionError,
  errorBodyOf,
  fromBody,
  isTransient,
  NanoBananaError,
  TimeoutError,
} from './errors.ts'

/** An answer's status line and headers. */
export interface Answer extends AnswerFacts {
  readonly headers: Headers
}

/** One request and its answer: the time it has, who may end it, and what the headers said. */
export interface Exchange {
  readonly fetch: Fetch
  /** Undefined before there is one. */
  readonly answer: Answer | undefined
  /** What to throw for what tRPC, `fetch` or a body threw. */
  toError(thrown: unknown): unknown
  /** Gives it time anew, from now on. */
  extend(timeoutMs: number): void
  /** Ends the time, and a connection whose answer was not read to its end. */
  end(): void
}

interface Limits {
  /** False where a second try could do the same thing twice. */
  readonly repeatable: boolean
  readonly timeoutMs: number
  readonly bounds: Bounds
}

/** Above this a timer of Node and browsers fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export function startExchange(config: Config, { repeatable, timeoutMs, bounds }: Limits): Exchange {
  const { signal } = bounds
  const controller = new AbortController()
  let timedOutAfter: number | undefined
  let sent = false
  let answer: Answer | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const onAbort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const extend = (ms: number) => {
    clearTimeout(timer)
    timer = ms > LONGEST_TIMER_MS ? undefined : setTimeout(onTimeout, ms, ms)
  }
  const onTimeout = (ms: number) => {
    timedOutAfter = ms
    controller.abort()
  }
  extend(timeoutMs)

  return {
    fetch: async (url, init) => {
      sent = true
      // A redirected POST would arrive as a GET, and the credential would go wherever it is told to.
      const response = await config.fetch(url, {
        redirect: 'manual',
        ...init,
        signal: controller.signal,
      })
      answer = answerOf(response)
      bounds.generationId = answer.generationId ?? bounds.generationId
      return response
    },
    get answer() {
      return answer
    },
    toError: (thrown) => {
      if (signal?.aborted) return signal.reason
      if (timedOutAfter !== undefined) return timeout(timedOutAfter, repeatable, answer)
      const body = errorBodyOf(thrown)
      if (body !== undefined && answer !== undefined) return fromBody(body, answer)
      if (thrown instanceof NanoBananaError) return thrown
      // tRPC wraps what it met.
      const met = thrown instanceof TypeError ? thrown : (causeOf(thrown) ?? thrown)
      return sent ? connectionError(config.baseUrl, repeatable, answer, met) : met
    },
    extend,
    end: () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      controller.abort()
    },
  }
}

const causeOf = (thrown: unknown): unknown => (thrown as { cause?: unknown } | null)?.cause

function answerOf({ status, headers }: Response): Answer {
  return {
    status,
    headers,
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
  new TimeoutError(`No answer within ${Math.round(timeoutMs)} ms.`, { ...answer, shouldRetry })

function connectionError(
  baseUrl: string,
  repeatable: boolean,
  answer: AnswerFacts | undefined,
  cause: unknown,
): ConnectionError {
  if (answer === undefined) {
    const message = `${baseUrl} could not be reached.`
    return new ConnectionError(message, { shouldRetry: repeatable, cause })
  }
  const brokeOff = answer.status < 300 && isBroken(cause)
  const message = brokeOff
    ? `The answer of ${baseUrl} broke off.`
    : `${baseUrl} answered ${answer.status}, but not as this API does.`
  const shouldRetry = answer.shouldRetry ?? ((brokeOff && repeatable) || isTransient(answer.status))
  return new ConnectionError(message, { ...answer, shouldRetry, cause })
}

/** A body that was cut off fails to be read, or to be parsed. */
const isBroken = (cause: unknown): boolean =>
  cause instanceof TypeError || cause instanceof SyntaxError
