import { readImageData, UploadedImage } from '@nanobanana/shared'
import { Base64Decoder } from '@nanobanana/shared/base64'
import { AppError } from '../kernel/app-error.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BLOCK_BYTES = 64 * 1024
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\0-\x1f]/
/** Stands for a character that base64 has not. */
const NO_BASE64 = 0x21

/** A string of JSON whose base64 is decoded while it arrives, split at any byte. */
export class CutImage {
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #used = 0
  #escape = ''
  #isFirst = true
  #declaredType: string | undefined
  #decoder: Base64Decoder | undefined = new Base64Decoder()
  #characters = 0

  /** No fewer bytes than this will come out. */
  get leastBytes(): number {
    return Math.max(0, Math.floor(this.#characters / 4) * 3 - 2)
  }

  /** Takes bytes up to the closing quote; answers its place, or -1 where it is still to come. */
  push(chunk: Buffer, from: number): number {
    let at = from
    let quote = -1
    let backslash = -1
    while (at < chunk.length) {
      if (this.#escape !== '') {
        this.#readEscape(chunk.readUInt8(at++))
        continue
      }
      if (quote < at) quote = placeOf(QUOTE, chunk, at)
      if (backslash < at) backslash = placeOf(BACKSLASH, chunk, at)
      const end = Math.min(quote, backslash)
      this.#take(chunk, at, end)
      if (end === chunk.length) return -1
      if (end === quote) return quote
      this.#escape = '\\'
      at = end + 1
    }
    return -1
  }

  /** The image; without any bytes where the text was no base64. */
  end(): UploadedImage {
    this.#flush()
    return new UploadedImage(this.#decoder?.end() ?? new Uint8Array(), this.#declaredType)
  }

  #take(chunk: Buffer, from: number, to: number): void {
    let at = from
    while (at < to) {
      if (this.#used === BLOCK_BYTES) this.#flush()
      const copied = chunk.copy(this.#block, this.#used, at, to)
      this.#used += copied
      at += copied
    }
  }

  #readEscape(byte: number): void {
    this.#escape += String.fromCharCode(byte)
    if (this.#escape.length < (this.#escape[1] === 'u' ? 6 : 2)) return
    if (this.#used === BLOCK_BYTES) this.#flush()
    this.#block[this.#used++] = unescape(this.#escape)
    this.#escape = ''
  }

  #flush(): void {
    const text = this.#block.toString('latin1', 0, this.#used)
    this.#used = 0
    if (CONTROL.test(text)) throw new AppError('invalid_json')
    this.#decode(this.#isFirst ? this.#withoutPrefix(text) : text)
    this.#isFirst = false
  }

  #decode(text: string): void {
    this.#characters += text.length
    this.#decoder?.push(text)
  }

  /** The first block is longer than the prefix of any `data:` URL of an image. */
  #withoutPrefix(text: string): string {
    const prefix = text.slice(0, text.indexOf(',') + 1)
    const said = readImageData(prefix)
    if (said === undefined) this.#decoder = undefined
    this.#declaredType = said?.declaredType
    return text.slice(prefix.length)
  }
}

function placeOf(byte: number, chunk: Buffer, from: number): number {
  const at = chunk.indexOf(byte, from)
  return at < 0 ? chunk.length : at
}

/** The code of an escaped character; of one that is none of base64's, of another such. */
function unescape(escape: string): number {
  let code: number
  try {
    code = (JSON.parse(`"${escape}"`) as string).charCodeAt(0)
  } catch (error) {
    throw new AppError('invalid_json', undefined, { cause: error })
  }
  return code > 0x1f && code < 0x7f ? code : NO_BASE64
}
