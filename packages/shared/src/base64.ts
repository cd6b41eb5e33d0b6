/** Strict base64 (RFC 4648, standard alphabet, padded), decoded a piece at a time. */
export class Base64Decoder {
  /** Where what is decoded goes as long as it fits; further pieces are buffers of their own. */
  readonly #room: Buffer
  readonly #pieces: Buffer[] = []
  #used = 0
  #carry = ''
  #padded = false
  #valid = true

  /** `expectedBytes`: what will come out, where that is known; then nothing is copied together. */
  constructor(expectedBytes = 0) {
    this.#room = Buffer.allocUnsafeSlow(expectedBytes)
  }

  push(text: string): void {
    const all = this.#carry + text
    const whole = all.length - (all.length % 4)
    if (URL_SAFE.test(text)) this.#valid = false
    this.#decode(all.slice(0, whole))
    this.#carry = all.slice(whole)
  }

  /** The same for text as it came over a wire; of a large one no more strings are made than needed. */
  pushBytes(bytes: Buffer): void {
    const missing = this.#carry === '' ? 0 : 4 - this.#carry.length
    if (bytes.length < missing + 4) return this.push(bytes.toString('latin1'))
    this.push(bytes.toString('latin1', 0, missing))
    const end = bytes.length - ((bytes.length - missing) % 4)
    if (bytes.includes(DASH) || bytes.includes(UNDERSCORE)) this.#valid = false
    this.#decode(bytes.toString('latin1', missing, end))
    this.#carry = bytes.toString('latin1', end)
  }

  /** The bytes, or undefined where the text was no base64. */
  end(): Buffer | undefined {
    if (!this.#valid || this.#carry !== '') return undefined
    const inRoom = this.#room.subarray(0, this.#used)
    if (this.#pieces.length === 0 && this.#used > MOSTLY * this.#room.length) return inRoom
    return Buffer.concat([inRoom, ...this.#pieces])
  }

  #decode(text: string): void {
    if (text === '' || !this.#valid) return
    const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
    const piece = this.#write(text)
    // Node skips what is not base64, so a wrong character shows as a missing byte.
    this.#valid =
      !this.#padded &&
      piece.length === (text.length / 4) * 3 - padding &&
      (padding === 0 || endsCleanly(text, piece, padding))
    this.#padded = padding > 0
  }

  #write(text: string): Buffer {
    const isFull = this.#pieces.length > 0 || this.#used + (text.length / 4) * 3 > this.#room.length
    if (isFull) {
      const piece = Buffer.from(text, 'base64')
      this.#pieces.push(piece)
      return piece
    }
    const from = this.#used
    this.#used += this.#room.write(text, from, 'base64')
    return this.#room.subarray(from, this.#used)
  }
}

/** Of the room: less is copied, so that the rest of it is not held as long as the bytes are. */
const MOSTLY = 0.9

/** Characters of the other alphabet, which Node takes too. */
const URL_SAFE = /[-_]/
const [DASH, UNDERSCORE] = [0x2d, 0x5f]

/** Whether the bits that padding leaves over are zero, as an encoder writes them. */
const endsCleanly = (text: string, piece: Buffer, padding: number): boolean =>
  piece.toString('base64', piece.length - 3 + padding) === text.slice(-4)

/** The bytes of a base64 text, or undefined where it is none. */
export function decodeBase64(text: string): Buffer | undefined {
  const decoder = new Base64Decoder()
  decoder.push(text)
  return decoder.end()
}
