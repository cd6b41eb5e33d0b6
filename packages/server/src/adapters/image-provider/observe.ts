import {
  type CallObserver,
  type CallOutcome,
  type ImageProvider,
  ProviderError,
} from '../../ports/image-provider.ts'

/** Tells an observer how each call ended, and how long it took. */
export function withObserver(
  provider: ImageProvider,
  { observer }: { readonly observer?: CallObserver },
): ImageProvider {
  if (observer === undefined) return provider
  return {
    async generate(request) {
      const began = performance.now()
      const end = (outcome: CallOutcome) =>
        observer.onEnd(request.model.id, outcome, (performance.now() - began) / 1000)
      try {
        const result = await provider.generate(request)
        end('succeeded')
        return result
      } catch (error) {
        end(error instanceof ProviderError ? error.code : 'aborted')
        throw error
      }
    },
  }
}
