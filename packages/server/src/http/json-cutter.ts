import { randomBytes } from 'node:crypto'
import { isWebAddress, type UploadedImage } from '@nanobanana/shared'
import { AppError } from '../kernel/app-error.ts'
import { ByteList } from './byte-list.ts'
import { CutImage } from './cut-image.ts'
import { DataFinder } from './data-finder.ts'

/** Longer strings are cut; what else may be named so, such as an entry of `metadata`, is shorter. */
const KEPT_CHARACTERS = 1024

export interface JsonLimits {
  /** Bytes of the text without its images. */
  readonly textBytes: number
  /** Decoded bytes of all images; undefined where none are cut. */
  readonly imageBytes: number | undefined
}

/**
 * Takes images out of JSON while it arrives: a long string in a member named `data` is decoded, and
 * a mark that nobody can guess is left in its place. What is kept of the text is short, whatever the
 * images weigh.
 */
export class JsonCutter {
  readonly #limits: JsonLimits
  readonly #text = new ByteList()
  readonly #finder = new DataFinder()
  readonly #mark = randomBytes(16).toString('base64url')
  readonly #images = new Map<string, UploadedImage>()
  #imageBytes = 0
  /** The content of a string that may turn out to be an image. */
  #held = new ByteList()
  #image: CutImage | undefined

  constructor(limits: JsonLimits) {
    this.#limits = limits
  }

  /** Throws `payload_too_large` as soon as a limit is passed. */
  push(chunk: Buffer): void {
    if (this.#limits.imageBytes === undefined) return this.#keep(chunk)
    let at = 0
    while (at < chunk.length) {
      const image = this.#image
      at = image === undefined ? this.#readText(chunk, at) : this.#readImage(image, chunk, at)
    }
  }

  /** The text with its marks. One that ends inside an image is no JSON, as it should be. */
  end(): Buffer {
    this.#keep(this.#held.concat())
    return this.#text.concat()
  }

  /** The parsed text with the images in place of their marks. */
  restore(value: unknown): unknown {
    if (this.#images.size === 0) return value
    if (typeof value === 'string') return this.#images.get(value) ?? value
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map((one) => this.restore(one))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.restore(one)]))
  }

  /** Reads to where text becomes the content of such a string, or the other way round. */
  #readText(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const wasData = this.#finder.inData
      this.#finder.read(chunk.readUInt8(at))
      const { inData, characters } = this.#finder
      if (inData === wasData && (!inData || characters <= KEPT_CHARACTERS)) continue
      const run = chunk.subarray(from, at + 1)
      if (wasData) this.#held.append(run)
      else this.#keep(run)
      if (wasData) this.#release()
      return at + 1
    }
    const run = chunk.subarray(from)
    if (this.#finder.inData) this.#held.append(run)
    else this.#keep(run)
    return chunk.length
  }

  /** What was held is text when its string has ended or names a web address, and else an image. */
  #release(): void {
    const held = this.#held.concat()
    this.#held = new ByteList()
    if (this.#finder.inData && !isWebAddress(held.toString('latin1', 0, 16))) {
      this.#image = new CutImage()
      this.#image.push(held, 0)
    } else {
      this.#finder.forgetData()
      this.#keep(held)
    }
  }

  #readImage(image: CutImage, chunk: Buffer, from: number): number {
    const quote = image.push(chunk, from)
    this.#checkImages(image.leastBytes)
    if (quote < 0) return chunk.length
    this.#image = undefined
    this.#finder.leaveString()
    const cut = image.end()
    this.#checkImages(cut.bytes.length)
    this.#imageBytes += cut.bytes.length
    const mark = `${this.#mark}-${this.#images.size}`
    this.#images.set(mark, cut)
    this.#keep(Buffer.from(`${mark}"`))
    return quote + 1
  }

  #checkImages(further: number): void {
    if (this.#imageBytes + further > (this.#limits.imageBytes ?? 0)) throw tooLarge('images')
  }

  #keep(text: Buffer): void {
    if (this.#text.length + text.length > this.#limits.textBytes) throw tooLarge()
    this.#text.append(text)
  }
}

const tooLarge = (param?: string): AppError =>
  new AppError('payload_too_large', undefined, param === undefined ? {} : { param })
