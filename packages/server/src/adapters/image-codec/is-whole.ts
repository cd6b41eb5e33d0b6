import type { ImageMimeType } from '../../ports/image-codec.ts'
import { pngChunks } from './png-chunks.ts'

/**
 * Whether an encoded picture reaches its own end. It costs microseconds where decoding all of it
 * costs milliseconds, and finds what a broken transfer leaves. Bytes after the end do not matter.
 */
export function isWhole(bytes: Uint8Array, mimeType: ImageMimeType): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (mimeType === 'image/png') return isWholePng(buffer)
  return mimeType === 'image/jpeg' ? isWholeJpeg(buffer) : isWholeWebp(buffer)
}

function isWholePng(buffer: Buffer): boolean {
  for (const { type, end } of pngChunks(buffer)) if (type === 'IEND') return end <= buffer.length
  return false
}

const JPEG_END = Buffer.of(0xff, 0xd9)
const JPEG_SCAN = Buffer.of(0xff, 0xda)

/** Scan data never holds an end marker, so the last one must stand behind the last scan's start. */
function isWholeJpeg(buffer: Buffer): boolean {
  const end = buffer.lastIndexOf(JPEG_END)
  if (end === buffer.length - JPEG_END.length) return true
  return end > buffer.lastIndexOf(JPEG_SCAN)
}

const RIFF_HEADER_BYTES = 8

function isWholeWebp(buffer: Buffer): boolean {
  return buffer.readUInt32LE(4) + RIFF_HEADER_BYTES <= buffer.length
}
