import type { BaseLogger } from 'pino'
import type { ImageProvider } from '../../ports/image-provider.ts'
import { withBreaker, type BreakerOptions } from './breaker.ts'
import { createGeminiProvider, type GeminiOptions } from './gemini.ts'
import { withObserver } from './observe.ts'
import { withRepeats, type RepeatOptions } from './repeat.ts'

export type LiveOptions = GeminiOptions &
  BreakerOptions &
  RepeatOptions & { readonly log: Pick<BaseLogger, 'warn' | 'error'> }

/** Google Gemini as live keys meet it: each attempt passes the breaker, failures are repeated. */
export const createLiveProvider = (options: LiveOptions): ImageProvider =>
  withRepeats(withBreaker(withObserver(createGeminiProvider(options), options), options), options)
