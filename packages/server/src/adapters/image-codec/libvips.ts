import sharp, { type Metadata } from 'sharp'
import type { ImageMimeType } from '../../ports/image-codec.ts'

// Left in are the three formats we take: others bring parsers we do not need, SVG above all.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: ['VipsForeignLoadPngBuffer', 'VipsForeignLoadJpegBuffer', 'VipsForeignLoadWebpBuffer'],
})
// A server hardly sees the same picture twice.
sharp.cache(false)

/** sharp with the parsers of PNG, JPEG and WebP alone; nothing of ours imports the other one. */
export { sharp }

// The largest picture a model makes, 8:1 at 4K, has 18.9 million pixels.
export const MAX_PIXELS = 50e6
export const INPUT = { limitInputPixels: MAX_PIXELS, failOn: 'warning' } as const
export const TIMEOUT = { seconds: 10 }

export interface Header extends Metadata {
  readonly mimeType: ImageMimeType
}

/**
 * Decodes no pixel. Undefined for what does not begin like a PNG, JPEG or WebP. `maxPixels` false:
 * tells the size of what is too large to be decoded.
 */
export async function readHeader(
  bytes: Uint8Array,
  maxPixels: number | false = MAX_PIXELS,
): Promise<Header | undefined> {
  try {
    // In here, because sharp throws at once for no bytes at all.
    const found = await sharp(bytes, { ...INPUT, limitInputPixels: maxPixels }).metadata()
    const mimeType = MIME_TYPES[found.format]
    return mimeType === undefined ? undefined : { ...found, mimeType }
  } catch {
    return undefined
  }
}

const MIME_TYPES: Readonly<Record<string, ImageMimeType>> = {
  png: 'image/png',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
}
