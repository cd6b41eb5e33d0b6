import { z } from 'zod'
import { ProviderError } from '../../ports/image-provider.ts'
import { TransportError } from './gemini-transport.ts'

/** Google's error envelope, as far as it decides anything. */
const Envelope = z.object({
  error: z.object({
    code: z.number().nullish(),
    message: z.string().nullish(),
    details: z.array(z.record(z.string(), z.unknown())).nullish(),
  }),
})
type Envelope = z.infer<typeof Envelope>['error']

/** What an error that `@google/genai` threw means. Google's own text goes to the log only. */
export function fromThrown(error: unknown, apiKey: string): ProviderError {
  if (error instanceof ProviderError) return error
  const cause = withoutKey(error, apiKey)
  const status = (error as { status?: unknown } | null)?.status
  if (typeof status === 'number' && error instanceof Error) {
    const envelope = readEnvelope(error.message)
    // The whole body: what quota was hit stands in the details, not in Google's sentence.
    return failureOfStatus(status, error.message, retryDelay(envelope), cause)
  }
  if (error instanceof TransportError) return fromTransport(error, cause)
  return new ProviderError('upstream_unavailable', 'The provider cannot be reached.', { cause })
}

function fromTransport({ kind, phase }: TransportError, cause: unknown): ProviderError {
  if (kind !== 'network') {
    return new ProviderError('upstream_invalid', 'The provider sent an unusable answer.', { cause })
  }
  if (phase === 'sent') {
    return new ProviderError('upstream_timeout', 'The provider ended the call without an answer.', {
      cause,
    })
  }
  return new ProviderError('upstream_unavailable', 'The provider cannot be reached.', { cause })
}

/** What an HTTP status of Google's means. */
export function failureOfStatus(
  status: number,
  text: string,
  retryAfterMs?: number,
  cause?: unknown,
): ProviderError {
  const options = { cause: cause ?? new Error(`${status}: ${text.slice(0, 2000)}`) }
  if (status === 429) {
    // A quota of zero or of a day never clears while a caller waits, whatever delay is named.
    if (/limit: 0\b|PerDay/i.test(text)) {
      return new ProviderError('upstream_failed', "The provider's quota is used up.", options)
    }
    return new ProviderError('upstream_rate_limited', 'The provider limits our requests.', {
      ...options,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    })
  }
  if (status === 504 || (status === 503 && /deadline expired/i.test(text))) {
    return new ProviderError('upstream_timeout', 'The provider ran out of time.', options)
  }
  if (status >= 500) {
    return new ProviderError('upstream_unavailable', 'The provider is unavailable.', options)
  }
  return new ProviderError(
    'upstream_failed',
    'The provider refused this service; the operator finds the reason in the log.',
    options,
  )
}

/** Under any content type but JSON the SDK wraps the body once more, so it is parsed twice. */
function readEnvelope(message: string): Envelope | undefined {
  const outer = Envelope.safeParse(tryJson(message))
  if (!outer.success) return undefined
  const inner = Envelope.safeParse(tryJson(outer.data.error.message ?? ''))
  return inner.success ? inner.data.error : outer.data.error
}

function retryDelay(envelope: Envelope | undefined): number | undefined {
  const delay = envelope?.details?.find((detail) => typeof detail['retryDelay'] === 'string')
  const seconds = /^(\d+(?:\.\d+)?)s$/.exec(String(delay?.['retryDelay'] ?? ''))?.[1]
  return seconds === undefined ? undefined : Number(seconds) * 1000
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** An invalid header value is quoted in the error that refuses it. */
function withoutKey(error: unknown, apiKey: string): unknown {
  if (!(error instanceof Error) || !error.message.includes(apiKey)) return error
  return new Error(error.message.replaceAll(apiKey, '[key]'))
}
