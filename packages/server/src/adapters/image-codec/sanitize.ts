import {
  type EncodedImage,
  type ImageMimeType,
  UnusableImageError,
} from '../../ports/image-codec.ts'
import { encodeAs } from './encode-as.ts'
import { isAnimated } from './is-animated.ts'
import { type Header, INPUT, MAX_PIXELS, readHeader, sharp, TIMEOUT } from './libvips.ts'

const QUALITY = 95
const QUALITY_TO_FIT = 85
const UNREADABLE = 'is not a readable PNG, JPEG or WebP'

/**
 * Refuses what need not be decoded to be refused. What a caller is told completes "images.0 …"; what
 * libvips said stays in the error's cause.
 */
export async function inspect(bytes: Uint8Array): Promise<Header> {
  const header = await readHeader(bytes, false)
  if (header === undefined) throw new UnusableImageError('unreadable', UNREADABLE)
  if (isAnimated(bytes, header))
    throw new UnusableImageError('unreadable', 'is animated; only still images are taken')
  const pixels = header.width * header.height
  if (pixels <= MAX_PIXELS) return header
  const [found, limit] = [Math.ceil(pixels / 1e6), MAX_PIXELS / 1e6]
  throw new UnusableImageError('too-large', `has ${found} megapixels; at most ${limit} are taken`)
}

/** Encodes the pixels anew, if need be in a smaller format. */
export async function sanitize(
  bytes: Uint8Array,
  { mimeType, hasAlpha }: Header,
  maxBytes: number,
): Promise<EncodedImage> {
  const alike = await encodeAnew(bytes, mimeType, QUALITY)
  if (alike.bytes.length <= maxBytes) return alike
  const fallback = hasAlpha ? 'image/webp' : 'image/jpeg'
  // WebP ends at 16383 pixels a side, JPEG at 65500; then the first attempt counts.
  const smaller = await encodeAnew(bytes, fallback, QUALITY_TO_FIT).catch(() => alike)
  if (smaller.bytes.length <= maxBytes) return smaller
  const [found, limit] = [megabytes(smaller.bytes.length), megabytes(maxBytes)]
  throw new UnusableImageError('too-large', `takes ${found} MB when encoded; at most ${limit} fit`)
}

async function encodeAnew(
  bytes: Uint8Array,
  mimeType: ImageMimeType,
  quality: number,
): Promise<EncodedImage> {
  const picture = sharp(bytes, INPUT).autoOrient().timeout(TIMEOUT)
  try {
    return { bytes: await encodeAs(picture, { mimeType, quality }), mimeType }
  } catch (cause) {
    throw new UnusableImageError('unreadable', reasonOf(cause), { cause })
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error && error.message.startsWith('timeout')
    ? `takes more than ${TIMEOUT.seconds} seconds to decode`
    : UNREADABLE

/** Rounded up, so that what is too large by a byte does not read like the limit. */
const megabytes = (bytes: number): number => Math.ceil(bytes / 1e5) / 10
