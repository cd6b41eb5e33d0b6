const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const LETTER_U = 0x75
const NAME = Buffer.from('data')
const WHITE_SPACE: readonly (number | undefined)[] = [0x20, 0x09, 0x0a, 0x0d]

/** Follows JSON byte by byte, as far as it takes to know a string that is a member named `data`. */
export class DataFinder {
  #inString = false
  #inData = false
  /** Bytes still to come of an escape. */
  #escapeLeft = 0
  /** How much of the name the string matches so far; -1: it is another. */
  #matched = -1
  /** What a string would be that begins here. */
  #next: 'any' | 'data-after-colon' | 'data' = 'any'
  #characters = 0

  /** Whether what comes next is content of such a string, or its closing quote. */
  get inData(): boolean {
    return this.#inData
  }

  /** Characters of that string so far. An escape counts as one. */
  get characters(): number {
    return this.#characters
  }

  read(byte: number): void {
    if (this.#inString) this.#readInString(byte)
    else this.#readBetween(byte)
  }

  /** From here on the string is one like others. */
  forgetData(): void {
    this.#inData = false
  }

  /** Somebody else read the rest of the string and its closing quote. */
  leaveString(): void {
    this.#inString = false
    this.#inData = false
    this.#next = 'any'
  }

  #readBetween(byte: number): void {
    if (byte === QUOTE) {
      this.#inString = true
      this.#inData = this.#next === 'data'
      this.#characters = 0
      this.#matched = 0
    } else if (byte === COLON) this.#next = this.#next === 'data-after-colon' ? 'data' : 'any'
    else if (!WHITE_SPACE.includes(byte)) this.#next = 'any'
  }

  #readInString(byte: number): void {
    if (this.#escapeLeft > 0) this.#escapeLeft = this.#leftAfter(byte)
    else if (byte === QUOTE) this.#endString()
    else {
      if (byte === BACKSLASH) this.#escapeLeft = AFTER_BACKSLASH
      this.#matched = NAME[this.#matched] === byte ? this.#matched + 1 : -1
      if (!isContinuation(byte)) this.#characters++
    }
  }

  #leftAfter(byte: number): number {
    if (this.#escapeLeft !== AFTER_BACKSLASH) return this.#escapeLeft - 1
    return byte === LETTER_U ? 4 : 0
  }

  #endString(): void {
    const isName = !this.#inData && this.#matched === NAME.length
    this.leaveString()
    if (isName) this.#next = 'data-after-colon'
  }
}

/** More than the four digits of an escape can leave. */
const AFTER_BACKSLASH = 5

/** Of a character of UTF-8, its second byte and those after it. */
const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80
