/** Strict base64 (RFC 4648, standard alphabet, padded), decoded a piece at a time. */
export class Base64Decoder {
  readonly #pieces: Buffer[] = []
  #carry = ''
  #padded = false
  #valid = true

  push(text: string): void {
    const all = this.#carry + text
    const whole = all.length - (all.length % 4)
    this.#decode(all.slice(0, whole))
    this.#carry = all.slice(whole)
  }

  /** The bytes, or undefined where the text was no base64. */
  end(): Buffer | undefined {
    return this.#valid && this.#carry === '' ? Buffer.concat(this.#pieces) : undefined
  }

  #decode(text: string): void {
    if (text === '' || !this.#valid) return
    const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
    const piece = Buffer.from(text, 'base64')
    // Buffer skips what is not base64, so a wrong character shows as a missing byte.
    this.#valid =
      !this.#padded &&
      piece.length === (text.length / 4) * 3 - padding &&
      !URL_SAFE.test(text) &&
      (padding === 0 || endsCleanly(text, piece, padding))
    this.#padded = padding > 0
    this.#pieces.push(piece)
  }
}

/** Characters of the other alphabet, which Buffer takes too. */
const URL_SAFE = /[-_]/

/** Whether the bits that padding leaves over are zero, as an encoder writes them. */
const endsCleanly = (text: string, piece: Buffer, padding: number): boolean =>
  piece.toString('base64', piece.length - 3 + padding) === text.slice(-4)

/** The bytes of a base64 text, or undefined where it is none. */
export function decodeBase64(text: string): Buffer | undefined {
  const decoder = new Base64Decoder()
  decoder.push(text)
  return decoder.end()
}
