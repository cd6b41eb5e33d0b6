import type { Header } from './libvips.ts'
import { pngChunks } from './png-chunks.ts'

/** Whether there is more than the one picture that a decoder shows. */
export const isAnimated = (bytes: Uint8Array, { mimeType, pages = 1 }: Header): boolean =>
  mimeType === 'image/png' ? isAnimatedPng(bytes) : pages > 1

/** libvips does not tell; the chunk must stand before the first one of pixels. */
function isAnimatedPng(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const { type } of pngChunks(buffer)) {
    if (type === 'acTL') return true
    if (type === 'IDAT') return false
  }
  return false
}
