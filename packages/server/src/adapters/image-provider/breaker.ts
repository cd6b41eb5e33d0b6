import type { BaseLogger } from 'pino'
import {
  type CallObserver,
  type ImageProvider,
  ProviderError,
  type ProviderErrorCode,
} from '../../ports/image-provider.ts'
import { CircuitBreaker } from './circuit-breaker.ts'

export interface BreakerOptions {
  readonly log: Pick<BaseLogger, 'warn'>
  readonly observer?: CallObserver
  /** Milliseconds of a clock that never goes back; default `performance.now`. */
  readonly now?: () => number
}

/** What tells of an outage. Refusals, limits and useless answers do not count either way. */
const OUTAGES: ReadonlySet<ProviderErrorCode> = new Set([
  'upstream_unavailable',
  'upstream_timeout',
])

/** Refuses calls to a model that keeps failing, each model by itself. */
export function withBreaker(provider: ImageProvider, options: BreakerOptions): ImageProvider {
  const { log, observer, now = () => performance.now() } = options
  const breakers = new Map<string, CircuitBreaker>()
  return {
    async generate(request) {
      const model = request.model.id
      const breaker = breakers.get(model) ?? new CircuitBreaker(now)
      breakers.set(model, breaker)
      const permit = breaker.admit()
      if (permit === undefined) {
        observer?.onEnd(model, 'refused', undefined)
        throw refusal(breaker)
      }
      const report = (failed: boolean) => {
        const change = breaker.report(permit, failed)
        if (change === undefined) return
        log.warn({ model }, `the provider's circuit breaker ${change}`)
        observer?.onBreaker(model, change)
      }
      try {
        const result = await provider.generate(request)
        report(false)
        return result
      } catch (error) {
        if (error instanceof ProviderError && OUTAGES.has(error.code)) report(true)
        throw error
      }
    },
  }
}

const refusal = ({ waitMs }: CircuitBreaker): ProviderError =>
  new ProviderError('upstream_unavailable', 'The provider keeps failing; calls to it pause.', {
    retryAfterMs: waitMs,
  })
