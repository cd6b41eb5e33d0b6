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

/** An encoded picture. */
export interface EncodedImage {
  readonly bytes: Uint8Array
  readonly mimeType: ImageMimeType
}

/** A picture from outside cannot be used; `message` may be shown to who sent it. */
export class UnusableImageError extends Error {
  override readonly name = 'UnusableImageError'
  /** `busy`: not the picture is at fault, too many wait already. */
  readonly reason: 'unreadable' | 'too-large' | 'busy'

  constructor(reason: UnusableImageError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/**
 * Reads and changes pictures off the event loop, decoding a bounded number at once. Promises:
 * - `measure` resolves to undefined for bytes that are not a whole PNG, JPEG or WebP; it reads
 *   header and structure, so a picture damaged inside but not cut short still has its facts;
 * - `thumbnail` never enlarges and answers WebP; it rejects for bytes it cannot decode. It waits for
 *   its turn before it reads, makes what several ask for at once only once, and may keep it;
 * - `encode` stretches to the size asked for and drops transparency;
 * - `sanitize` decodes a PNG, JPEG or WebP from outside and encodes its pixels anew, upright and in
 *   sRGB, so that nothing else of the file is left (metadata, what hides behind its end). It keeps
 *   the format where that fits `maxBytes` and takes JPEG, or WebP for what is transparent, where it
 *   does not; it rejects with `UnusableImageError`;
 * - `convert` encodes the same pixels in another format or quality; it rejects for bytes it cannot
 *   decode.
 */
export interface ImageCodec {
  measure(bytes: Uint8Array): Promise<ImageFacts | undefined>
  thumbnail(original: Original, width: number): Promise<Uint8Array>
  encode(pixels: Pixels, as: ImageFacts): Promise<Uint8Array>
  sanitize(bytes: Uint8Array, limits: { maxBytes: number }): Promise<EncodedImage>
  /** `quality`: 1 to 100, for JPEG and WebP. */
  convert(bytes: Uint8Array, as: { mimeType: ImageMimeType; quality: number }): Promise<Uint8Array>
}
