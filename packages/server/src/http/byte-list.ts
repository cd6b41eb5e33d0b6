const FIRST_BLOCK_BYTES = 1024
const BLOCK_BYTES = 64 * 1024

/** Bytes that arrive in pieces of any size, copied into blocks: a piece of one byte costs one byte. */
export class ByteList {
  readonly #blocks: Buffer[] = []
  #last = Buffer.alloc(0)
  #used = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  append(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0) {
      if (this.#used === this.#last.length) this.#addBlock()
      const copied = rest.copy(this.#last, this.#used)
      this.#used += copied
      this.#length += copied
      rest = rest.subarray(copied)
    }
  }

  concat(): Buffer {
    return Buffer.concat([...this.#blocks, this.#last.subarray(0, this.#used)])
  }

  #addBlock(): void {
    if (this.#used > 0) this.#blocks.push(this.#last)
    const size = this.#used === 0 ? FIRST_BLOCK_BYTES : Math.min(this.#used * 2, BLOCK_BYTES)
    this.#last = Buffer.allocUnsafeSlow(size)
    this.#used = 0
  }
}
