import {
  type ImageCodec,
  type ImageFacts,
  type Original,
  type Pixels,
  UnusableImageError,
} from '../../ports/image-codec.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import { cacheBytes } from './cache-bytes.ts'
import { convert } from './convert.ts'
import { isWhole } from './is-whole.ts'
import { INPUT, readHeader, sharp, TIMEOUT } from './libvips.ts'
import { inspect, sanitize } from './sanitize.ts'

export interface SharpCodecOptions {
  /** Pictures decoded or encoded at once; default 2, of the four threads shared with files and bcrypt. */
  readonly concurrency?: number
}

/** Pictures from outside that may wait: a small file can take seconds to decode. */
const MAX_WAITING = 64
const THUMBNAIL_QUALITY = 80
const KEPT_THUMBNAIL_BYTES = 32 * 2 ** 20
const JPEG_QUALITY = 90

/** Reads and changes pictures by libvips, on the threads of libuv. */
export function createSharpCodec({ concurrency = 2 }: SharpCodecOptions = {}): ImageCodec {
  const limited = limitConcurrency(concurrency)
  // A turn of its own around reading: a slow store holds up thumbnails, not other pictures.
  const inTurn = limitConcurrency(concurrency)
  // Pictures from outside never take every turn from those that are paid for. At the limit one takes
  // about 1 GB: interlaced, or to be turned, it lies in memory whole.
  const fromOutside = limitConcurrency(Math.max(1, concurrency - 1))
  let waiting = 0
  const cached = cacheBytes(KEPT_THUMBNAIL_BYTES)

  async function makeThumbnail(original: Original, width: number): Promise<Uint8Array> {
    const bytes = await original.read()
    return limited(() => shrink(bytes, width))
  }

  return {
    // Not limited: it decodes nothing, and would wait behind what takes a hundred times longer.
    measure,

    thumbnail: (original, width) =>
      cached(`${original.sha256}-${width}`, () => inTurn(() => makeThumbnail(original, width))),

    encode: (pixels, as) => limited(() => encode(pixels, as)),

    async sanitize(bytes, { maxBytes }) {
      const header = await inspect(bytes)
      if (waiting >= MAX_WAITING) throw new UnusableImageError('busy', 'cannot be read right now')
      waiting++
      try {
        return await fromOutside(() => limited(() => sanitize(bytes, header, maxBytes)))
      } finally {
        waiting--
      }
    },

    convert: (bytes, as) => limited(() => convert(bytes, as)),
  }
}

const shrink = (bytes: Uint8Array, width: number): Promise<Uint8Array> =>
  sharp(bytes, INPUT)
    .autoOrient()
    .resize({ width, withoutEnlargement: true })
    .webp({ quality: THUMBNAIL_QUALITY })
    .timeout(TIMEOUT)
    .toBuffer()

async function measure(bytes: Uint8Array): Promise<ImageFacts | undefined> {
  const found = await readHeader(bytes)
  if (found === undefined || !isWhole(bytes, found.mimeType)) return undefined
  const { width, height } = found.autoOrient
  // As a viewer shows it, turned by its EXIF orientation.
  return { mimeType: found.mimeType, width, height }
}

function encode({ rgba, width, height }: Pixels, as: ImageFacts): Promise<Uint8Array> {
  const picture = sharp(rgba, { raw: { width, height, channels: 4 } })
    .removeAlpha()
    // Enlarging to 4K takes half the time it takes with the finer kernels.
    .resize({ width: as.width, height: as.height, fit: 'fill', kernel: 'linear' })
    .timeout(TIMEOUT)
  if (as.mimeType === 'image/png') return picture.png().toBuffer()
  return as.mimeType === 'image/jpeg'
    ? picture.jpeg({ quality: JPEG_QUALITY }).toBuffer()
    : picture.webp().toBuffer()
}
