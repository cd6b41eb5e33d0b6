import type { OutputFormat } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { ImageFacts, ImageMimeType } from '../../ports/image-codec.ts'

/** How a picture is to be kept; undefined: as the provider made it. */
export interface Output {
  readonly format: OutputFormat | undefined
  /** 1 to 100, for JPEG and WebP. */
  readonly quality: number | undefined
}

export interface FinishedPicture {
  readonly bytes: Uint8Array
  /** Measured from these bytes. */
  readonly facts: ImageFacts
}

const DEFAULT_QUALITY = 90

/** The provider's picture in the format asked for; untouched where it has that already. */
export async function finish(
  { codec }: Pick<Deps, 'codec'>,
  bytes: Uint8Array,
  { format, quality }: Output,
): Promise<FinishedPicture> {
  const facts = await codec.measure(bytes)
  if (facts === undefined) throw noPicture()
  const mimeType: ImageMimeType = format === undefined ? facts.mimeType : `image/${format}`
  if (mimeType === facts.mimeType && quality === undefined) return { bytes, facts }
  const as = { mimeType, quality: quality ?? DEFAULT_QUALITY }
  const converted = await codec.convert(bytes, as).catch((cause: unknown) => {
    throw noPicture(cause)
  })
  return { bytes: converted, facts: (await codec.measure(converted)) ?? { ...facts, mimeType } }
}

const noPicture = (cause?: unknown): AppError =>
  new AppError('upstream_invalid', 'The provider sent bytes that are no picture.', { cause })
