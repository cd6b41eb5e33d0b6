import type { ImageProvider, ImageRequest } from '../src/ports/image-provider.ts'
import { noise } from './pictures.ts'

/** A provider that remembers what it was asked; all it makes is one small picture. */
export interface ScriptedProvider extends ImageProvider {
  readonly seen: readonly ImageRequest[]
  /** What the next calls do before they answer: fail with the error, or wait. */
  play(...acts: (Error | Promise<unknown>)[]): void
}

/** What a picture of this provider is billed with. */
export const SCRIPTED_USAGE = { inputTokens: 4, textOutputTokens: 100, imageOutputTokens: 747 }

/** Rejects as soon as the call is ended from outside. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })

export async function createScriptedProvider(): Promise<ScriptedProvider> {
  const bytes = new Uint8Array(await noise(64, 64).jpeg().toBuffer())
  const acts: (Error | Promise<unknown>)[] = []
  const seen: ImageRequest[] = []
  return {
    seen,
    play: (...more) => void acts.push(...more),
    async generate(request) {
      seen.push(request)
      const act = acts.shift()
      if (act instanceof Error) throw act
      await Promise.race([act, aborted(request.signal)])
      return { bytes, text: null, usage: SCRIPTED_USAGE }
    },
  }
}
