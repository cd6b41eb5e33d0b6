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
  /** False where it could not be brought into the format or quality asked for. */
  readonly isAsAsked: boolean
}

const DEFAULT_QUALITY = 90

/**
 * The provider's picture in the format asked for; untouched where it has that already, and where it
 * cannot be converted: it is paid for.
 */
export async function finish(
  { codec, log }: Pick<Deps, 'codec' | 'log'>,
  bytes: Uint8Array,
  { format, quality }: Output,
): Promise<FinishedPicture> {
  const facts = await codec.measure(bytes)
  if (facts === undefined) throw noPicture()
  const mimeType: ImageMimeType = format === undefined ? facts.mimeType : `image/${format}`
  if (mimeType === facts.mimeType && quality === undefined) {
    return { bytes, facts, isAsAsked: true }
  }
  const as = { mimeType, quality: quality ?? DEFAULT_QUALITY }
  const converted = await codec.convert(bytes, as).catch((error: unknown) => {
    log.warn({ err: error }, 'a picture could not be converted')
    return undefined
  })
  const measured = converted && (await codec.measure(converted))
  return converted === undefined || measured === undefined
    ? { bytes, facts, isAsAsked: false }
    : { bytes: converted, facts: measured, isAsAsked: true }
}

const noPicture = (): AppError =>
  new AppError('upstream_invalid', 'The provider sent bytes that are no picture.')
