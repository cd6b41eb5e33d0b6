import type { Warning } from '@nanobanana/shared'
import type { TokenUsage } from '../../ports/image-provider.ts'
import type { NewRow } from '../images/images.service.ts'
import type { Job, Made } from './making.ts'
import { warningsOfResult } from './warnings.ts'

/** What a generation that succeeds came to: all that its end needs, in this process or in another. */
export interface Result {
  readonly text: string | null
  readonly warnings: Warning[]
  readonly images: readonly { readonly row: NewRow }[]
  readonly usage: TokenUsage
  /** Beside it, what the provider may bill. */
  readonly wasted: TokenUsage
}

export const resultOf = (job: Job, made: Made): Result => ({
  text: made.text,
  warnings: warningsOfResult(job, made.images, made.failures),
  images: made.images,
  usage: made.usage,
  wasted: made.wasted,
})
