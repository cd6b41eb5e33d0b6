import { z } from 'zod'
import { AttemptError } from './attempt-error.ts'

const Text = z.string().nullish().catch(null)

/** Google's error envelope, as far as it decides anything. */
const Envelope = z.object({
  error: z.object({
    message: Text,
    status: Text,
    details: z.array(z.record(z.string(), z.unknown())).nullish().catch(null),
  }),
  /** The header of the answer, as the transport put it there. */
  retryAfter: Text,
})
type Envelope = z.infer<typeof Envelope>

/**
 * What an HTTP status of Google's means. `body` as the SDK passes it on: what quota was hit stands
 * in the details, not in Google's sentence.
 */
export function fromStatus(status: number, body: string, cause: unknown): AttemptError {
  const envelope = readEnvelope(body)
  if (status === 429) return fromQuota(body, envelope, cause)
  if (status === 504 || (status === 503 && /deadline expired/i.test(body))) {
    const message = 'The provider ran out of time.'
    return new AttemptError('upstream_timeout', message, { cause, repeats: 1 })
  }
  if (status >= 500) {
    const message = 'The provider is unavailable.'
    return new AttemptError('upstream_unavailable', message, { cause, repeats: 2 })
  }
  const alarm = alarmOf(status, envelope)
  const refused = alarm === undefined ? 'this request' : 'this service'
  return new AttemptError(
    'upstream_failed',
    `The provider refused ${refused}; the operator finds the reason in the log.`,
    { cause, ...(alarm === undefined ? {} : { alarm }) },
  )
}

function fromQuota(body: string, envelope: Envelope | undefined, cause: unknown): AttemptError {
  // A quota of zero or of a day never clears while a caller waits, whatever delay is named.
  if (/limit: 0\b|per\s?day/i.test(body)) {
    const alarm = "the provider's quota is zero, or used up for the day"
    return new AttemptError('upstream_failed', "The provider's quota is used up.", { cause, alarm })
  }
  const delayMs = retryDelay(envelope)
  return new AttemptError('upstream_rate_limited', 'The provider limits our requests.', {
    cause,
    repeats: 2,
    ...(delayMs === undefined ? {} : { retryAfterMs: delayMs, pauseMs: delayMs }),
  })
}

/** What the operator must mend. Google answers 400 to a bad key, and to an account it does not serve. */
function alarmOf(status: number, envelope: Envelope | undefined): string | undefined {
  const { message, status: name, details } = envelope?.error ?? {}
  const badKey =
    details?.some(({ reason }) => reason === 'API_KEY_INVALID') === true ||
    /^api key (not valid|not found|expired)/i.test(message ?? '')
  if (status === 401 || badKey) return 'the provider refuses the API key'
  if (status === 403) return 'the API key lacks the permission to generate images'
  if (name === 'FAILED_PRECONDITION') return 'the provider does not serve this region or account'
  if (status === 404 && message?.startsWith('models/')) return 'the provider has no such model'
  return undefined
}

/** Under any content type but JSON the SDK wraps the body once more, so it is parsed twice. */
function readEnvelope(body: string): Envelope | undefined {
  const outer = Envelope.safeParse(tryJson(body))
  if (!outer.success) return undefined
  const inner = Envelope.safeParse(tryJson(outer.data.error.message ?? ''))
  return inner.success ? inner.data : outer.data
}

const DURATION = /^(\d+(?:\.\d+)?)s$/
const IN_WORDS = /retry in (\d+(?:\.\d+)?)(ms|s)\b/i
/** A delay beyond is no delay, but a mistake. */
const MAX_DELAY_MS = 3_600_000

/** Milliseconds the provider asks to wait: by its details, its words or its header. */
function retryDelay(envelope: Envelope | undefined): number | undefined {
  const named = envelope?.error.details?.find(({ retryDelay }) => typeof retryDelay === 'string')
  const seconds = DURATION.exec(String(named?.['retryDelay']))?.[1]
  if (seconds !== undefined) return bounded(Number(seconds) * 1000)
  const [, amount, unit] = IN_WORDS.exec(envelope?.error.message ?? '') ?? []
  if (amount !== undefined)
    return bounded(Number(amount) * (unit?.toLowerCase() === 's' ? 1000 : 1))
  const header = /^\d+$/.exec(envelope?.retryAfter ?? '')?.[0]
  return header === undefined ? undefined : bounded(Number(header) * 1000)
}

const bounded = (delayMs: number): number => Math.min(delayMs, MAX_DELAY_MS)

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
