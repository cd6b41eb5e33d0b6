import type { Sharp } from 'sharp'
import type { ImageMimeType } from '../../ports/image-codec.ts'

// From here on the finer resolution of colour is worth its bytes: text and thin lines show it.
const FULL_COLOUR_QUALITY = 90
// A filter for each row saves 40 % of a photograph; higher levels of deflate save next to nothing.
const PNG = { compressionLevel: 2, adaptiveFiltering: true }
// Half the time of the default, and no larger.
const WEBP_EFFORT = 2

/** `quality`: 1 to 100, for JPEG and WebP. What is transparent becomes white in a JPEG. */
export async function encodeAs(
  picture: Sharp,
  { mimeType, quality }: { mimeType: ImageMimeType; quality: number },
): Promise<Uint8Array> {
  if (mimeType === 'image/png') return picture.png(PNG).toBuffer()
  if (mimeType === 'image/webp') return picture.webp({ quality, effort: WEBP_EFFORT }).toBuffer()
  const chromaSubsampling = quality < FULL_COLOUR_QUALITY ? '4:2:0' : '4:4:4'
  return picture.flatten({ background: 'white' }).jpeg({ quality, chromaSubsampling }).toBuffer()
}
