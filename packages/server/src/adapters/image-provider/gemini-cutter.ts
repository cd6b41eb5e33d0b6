import { Base64Decoder } from '@nanobanana/shared/base64'

/** A picture cut out of an answer: its bytes, or undefined where they were no strict base64. */
export type CutBlob = Buffer | undefined

export interface CutAnswer {
  /** The JSON without its blobs: each is replaced by `@` and its index. */
  readonly text: string
  readonly blobs: readonly CutBlob[]
}

/** Stands for a blob in the text. */
export const BLOB_MARK = /^@(\d+)$/

// Inside a JSON string the quotes would be escaped, so this is always a member's name.
const BLOB_START = /"(data|thoughtSignature)"\s*:\s*"/
/** The longest beginning of `BLOB_START` that may lie across two chunks, white space allowed for. */
const OVERLAP = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Takes a provider's answer apart while it arrives: pictures are decoded as they come and
 * signatures dropped, so that the body as a whole never lies in memory, nor passes through
 * `JSON.parse`.
 */
export class AnswerCutter {
  /** Bytes that are still to come, where that is known. */
  #left: number
  readonly #text: string[] = []
  readonly #blobs: CutBlob[] = []
  /** Text that may still turn out to begin a blob. */
  #pending = ''
  #blob: Base64Decoder | 'dropped' | undefined
  /** The beginning of an escape inside a blob. */
  #escape = ''

  constructor(announcedBytes = 0) {
    this.#left = announcedBytes
  }

  push(chunk: Buffer): void {
    this.#left = Math.max(0, this.#left - chunk.length)
    let rest = chunk
    while (rest.length > 0)
      rest = this.#blob === undefined ? this.#inText(rest) : this.#inBlob(rest)
  }

  end(): CutAnswer {
    // A blob without its end leaves JSON that cannot be parsed, as it should.
    // latin1 kept every byte apart; text is UTF-8.
    const text = Buffer.from(this.#text.join('') + this.#pending, 'latin1').toString('utf8')
    return { text, blobs: this.#blobs }
  }

  #inText(chunk: Buffer): Buffer {
    const before = this.#pending.length
    const text = this.#pending + chunk.toString('latin1')
    const start = BLOB_START.exec(text)
    if (start === null) {
      const safe = Math.max(0, text.length - OVERLAP)
      this.#text.push(text.slice(0, safe))
      this.#pending = text.slice(safe)
      return chunk.subarray(chunk.length)
    }
    const end = start.index + start[0].length
    this.#text.push(text.slice(0, end))
    this.#pending = ''
    this.#blob = start[1] === 'data' ? this.#decoderOf(chunk.length - end) : 'dropped'
    return chunk.subarray(end - before)
  }

  #inBlob(chunk: Buffer): Buffer {
    if (this.#escape !== '') return this.#inEscape(chunk)
    const quote = placeOf(QUOTE, chunk)
    const end = Math.min(quote, placeOf(BACKSLASH, chunk))
    if (this.#blob instanceof Base64Decoder) this.#blob.pushBytes(chunk.subarray(0, end))
    if (end === chunk.length) return chunk.subarray(end)
    if (end < quote) {
      this.#escape = '\\'
      return chunk.subarray(end + 1)
    }
    if (this.#blob instanceof Base64Decoder) {
      this.#text.push(`@${this.#blobs.length}`)
      this.#blobs.push(this.#blob.end())
    }
    this.#blob = undefined
    return chunk.subarray(end)
  }

  /** With room for a picture that takes all of the rest. */
  #decoderOf(bytesHere: number): Base64Decoder {
    return new Base64Decoder(this.#left === 0 ? 0 : Math.ceil(((this.#left + bytesHere) * 3) / 4))
  }

  /** Some encoders write `/`, `+` or `=` as an escape. */
  #inEscape(chunk: Buffer): Buffer {
    this.#escape += String.fromCharCode(chunk.readUInt8(0))
    if (this.#escape.length === (this.#escape[1] === 'u' ? 6 : 2)) {
      if (this.#blob instanceof Base64Decoder) this.#blob.push(unescape(this.#escape))
      this.#escape = ''
    }
    return chunk.subarray(1)
  }
}

function placeOf(byte: number, chunk: Buffer): number {
  const at = chunk.indexOf(byte)
  return at < 0 ? chunk.length : at
}

/** The character an escape stands for, or one that is no base64. */
function unescape(escape: string): string {
  try {
    return JSON.parse(`"${escape}"`) as string
  } catch {
    return '!'
  }
}
