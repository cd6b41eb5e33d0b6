import { ProviderError, type TokenUsage } from '../../ports/image-provider.ts'
import { AttemptError } from './attempt-error.ts'
import { fromStatus } from './gemini-status.ts'
import { TransportError } from './gemini-transport.ts'

export interface FailureContext {
  /** Taken out of every error. */
  readonly apiKey: string
  /** What the provider may bill for a call whose end nobody saw. */
  readonly estimate: TokenUsage
}

/**
 * What an error that `@google/genai` threw means. Google's own text goes to the log only. One that
 * nobody foresaw is a fault of ours or the SDK's and stays what it is.
 */
export function fromThrown(error: unknown, context: FailureContext): unknown {
  if (error instanceof ProviderError) return error
  const cause = withoutKey(error, context.apiKey)
  if (error instanceof TransportError) return fromTransport(error, cause, context.estimate)
  const status = (error as { status?: unknown } | null)?.status
  if (typeof status === 'number' && error instanceof Error) {
    return fromStatus(status, error.message, cause)
  }
  // A signal that ends before anything was sent makes an error of its own.
  if (isAbort(error)) return new AttemptError('upstream_timeout', LATE, { cause, repeats: 1 })
  return cause
}

const LATE = 'The provider did not answer in time.'
const UNREACHABLE = 'The provider cannot be reached.'

function fromTransport(
  { kind, phase }: TransportError,
  cause: unknown,
  estimate: TokenUsage,
): AttemptError {
  if (kind === 'redirect') return new AttemptError('upstream_invalid', UNUSABLE, { cause })
  if (phase === 'connecting') {
    return kind === 'aborted'
      ? new AttemptError('upstream_timeout', LATE, { cause, repeats: 1 })
      : new AttemptError('upstream_unavailable', UNREACHABLE, { cause, repeats: 2 })
  }
  // From here on the call may be billed; once an answer began, a repeat would surely buy twice.
  const options = { cause, wasted: estimate, repeats: phase === 'sent' ? 1 : 0 }
  if (kind === 'aborted') return new AttemptError('upstream_timeout', LATE, options)
  if (kind !== 'network') return new AttemptError('upstream_invalid', UNUSABLE, options)
  return phase === 'sent'
    ? new AttemptError(
        'upstream_timeout',
        'The provider ended the call without an answer.',
        options,
      )
    : new AttemptError('upstream_unavailable', 'The answer of the provider was cut off.', options)
}

const UNUSABLE = 'The provider sent an unusable answer.'

const isAbort = (error: unknown): boolean =>
  error instanceof Error && ['AbortError', 'TimeoutError'].includes(error.name)

/** An invalid header value is quoted in the error that refuses it. */
function withoutKey(error: unknown, apiKey: string): unknown {
  if (!(error instanceof Error) || !error.message.includes(apiKey)) return error
  return new Error(error.message.replaceAll(apiKey, '[key]'))
}
