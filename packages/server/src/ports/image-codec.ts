export type ImageMimeType = 'image/png' | 'image/jpeg' | 'image/webp'

export interface ImageFacts {
  /** From the magic bytes, never from what somebody declared. */
  readonly mimeType: ImageMimeType
  readonly width: number
  readonly height: number
}

/**
 * Reads and changes encoded pictures off the event loop, a bounded number at once. Promises:
 * `measure` resolves to undefined for bytes that are not a decodable PNG, JPEG or WebP;
 * `thumbnail` never enlarges and answers WebP.
 */
export interface ImageCodec {
  measure(bytes: Uint8Array): Promise<ImageFacts | undefined>
  thumbnail(bytes: Uint8Array, width: number): Promise<Uint8Array>
}
