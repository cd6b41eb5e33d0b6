import sharp from 'sharp'
import type {
  ImageCodec,
  ImageFacts,
  ImageMimeType,
  Original,
  Pixels,
} from '../../ports/image-codec.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import { cacheBytes } from './cache-bytes.ts'
import { isWhole } from './is-whole.ts'

export interface SharpCodecOptions {
  /** Pictures decoded or encoded at once; default 2, of the four threads shared with files and bcrypt. */
  readonly concurrency?: number
}

// Left in are the three formats we take: others bring parsers we do not need, SVG above all.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: ['VipsForeignLoadPngBuffer', 'VipsForeignLoadJpegBuffer', 'VipsForeignLoadWebpBuffer'],
})
// A server hardly sees the same picture twice.
sharp.cache(false)

// The largest picture a model makes, 8:1 at 4K, has 18.9 million pixels.
const INPUT = { limitInputPixels: 50e6, failOn: 'warning' } as const
const TIMEOUT = { seconds: 10 }
const THUMBNAIL_QUALITY = 80
const KEPT_THUMBNAIL_BYTES = 32 * 2 ** 20
const JPEG_QUALITY = 90

/** Reads and changes pictures by libvips, on the threads of libuv. */
export function createSharpCodec({ concurrency = 2 }: SharpCodecOptions = {}): ImageCodec {
  const limited = limitConcurrency(concurrency)
  // A turn of its own around reading: a slow store holds up thumbnails, not other pictures.
  const inTurn = limitConcurrency(concurrency)
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
  const found = await readHeader(bytes).catch(() => undefined)
  if (found === undefined) return undefined
  const mimeType = MIME_TYPES[found.format]
  if (mimeType === undefined || !isWhole(bytes, mimeType)) return undefined
  // As a viewer shows it, turned by its EXIF orientation.
  return { mimeType, width: found.autoOrient.width, height: found.autoOrient.height }
}

// Async, because sharp throws at once for no bytes at all.
const readHeader = async (bytes: Uint8Array) => sharp(bytes, INPUT).metadata()

const MIME_TYPES: Readonly<Record<string, ImageMimeType>> = {
  png: 'image/png',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
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
