export type ImageMimeType = 'image/png' | 'image/jpeg' | 'image/webp'

export interface ImageFacts {
  /** From the magic bytes, never from what somebody declared. */
  readonly mimeType: ImageMimeType
  readonly width: number
  readonly height: number
}

/** A picture that is read only when its turn has come. */
export interface Original {
  /** Of its bytes, in hex. */
  readonly sha256: string
  read(): Promise<Uint8Array>
}

/** Rows of four bytes a pixel: red, green, blue, alpha. */
export interface Pixels {
  readonly rgba: Uint8Array
  readonly width: number
  readonly height: number
}

/**
 * Reads and changes pictures off the event loop, decoding a bounded number at once. Promises:
 * - `measure` resolves to undefined for bytes that are not a whole PNG, JPEG or WebP; it reads
 *   header and structure, so a picture damaged inside but not cut short still has its facts;
 * - `thumbnail` never enlarges and answers WebP; it rejects for bytes it cannot decode. It waits for
 *   its turn before it reads, makes what several ask for at once only once, and may keep it;
 * - `encode` stretches to the size asked for and drops transparency.
 */
export interface ImageCodec {
  measure(bytes: Uint8Array): Promise<ImageFacts | undefined>
  thumbnail(original: Original, width: number): Promise<Uint8Array>
  encode(pixels: Pixels, as: ImageFacts): Promise<Uint8Array>
}
