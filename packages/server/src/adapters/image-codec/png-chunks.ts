const SIGNATURE_BYTES = 8
/** Length, type and checksum of a chunk. */
const FRAME_BYTES = 12

export interface PngChunk {
  readonly type: string
  /** Where the next one begins; behind the end of the bytes if this one was cut short. */
  readonly end: number
}

/** Names the chunks of a PNG in their order, whatever stands between the last one and the end. */
export function* pngChunks(buffer: Buffer): Generator<PngChunk> {
  let start = SIGNATURE_BYTES
  while (start + FRAME_BYTES <= buffer.length) {
    const end = start + FRAME_BYTES + buffer.readUInt32BE(start)
    yield { type: buffer.toString('latin1', start + 4, start + 8), end }
    start = end
  }
}
