import type { ImageMimeType } from '../../ports/image-codec.ts'
import { encodeAs } from './encode-as.ts'
import { INPUT, sharp, TIMEOUT } from './libvips.ts'

/** Upright and in sRGB, since neither EXIF nor a colour profile is carried over. */
export const convert = (
  bytes: Uint8Array,
  as: { mimeType: ImageMimeType; quality: number },
): Promise<Uint8Array> => encodeAs(sharp(bytes, INPUT).autoOrient().timeout(TIMEOUT), as)
