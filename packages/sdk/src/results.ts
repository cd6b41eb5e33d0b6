import type { Generation, Image } from './generated/types.ts'
import type { CallOptions } from './bounds.ts'

/** An image that was made: its facts, and ways to its bytes. */
export interface ImageResult extends Omit<Image, 'bytes'> {
  /** Size of the file in bytes; in the JSON of the service it is called `bytes`. */
  readonly size: number
  /** Reads the file. */
  bytes(options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>
  /** Reads the file as a `Blob` of its type. */
  blob(options?: CallOptions): Promise<Blob>
  /** Opens the file; `timeoutMs` counts until its first byte. */
  stream(options?: CallOptions): Promise<ReadableStream<Uint8Array>>
  /** Writes the file to a path. Node, Bun and Deno only. */
  save(path: string | URL, options?: CallOptions): Promise<void>
}

/** A request and the images that came of it. */
export interface GenerationResult extends Omit<Generation, 'images'> {
  images: ImageResult[]
}

/** What a stream tells of a generation as a whole. */
export interface StatusEvent {
  type:
    | 'generation.queued'
    | 'generation.running'
    | 'generation.succeeded'
    | 'generation.failed'
    | 'generation.canceled'
  /** When it happened. */
  timestamp: string
  data: GenerationResult
}

/** The model's own words beside the image. */
export interface TextEvent {
  type: 'generation.text'
  /** When it happened. */
  timestamp: string
  data: { id: string; text: string }
}

/** An image is there. */
export interface ImageEvent {
  type: 'generation.image'
  /** When it happened. */
  timestamp: string
  data: {
    id: string
    /** Place among the images, from 0. */
    index: number
    /** Null once it was deleted. */
    image: ImageResult | null
  }
}

/** What `generate.stream` yields. */
export type StreamEvent = StatusEvent | TextEvent | ImageEvent

/** Reads the bytes of images. */
export interface ImageReader {
  stream(image: Image, options?: CallOptions): Promise<ReadableStream<Uint8Array>>
  bytes(image: Image, options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>
  save(image: Image, path: string | URL, options?: CallOptions): Promise<void>
}

interface Maybe {
  object?: unknown
  images?: Image[]
  image?: Image | null
  data?: unknown
}

/** Gives the images in an answer their methods. */
export function readable(value: unknown, reader: ImageReader): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { object, images, image, data } = value as Maybe
  if (object === 'generation' && images !== undefined) {
    return { ...value, images: images.map((one) => toResult(one, reader)) }
  }
  if (image) return { ...value, image: toResult(image, reader) }
  if (Array.isArray(data)) return { ...value, data: data.map((one) => readable(one, reader)) }
  return value
}

/** The methods are not enumerable: an image is compared, copied and printed by its facts. */
function toResult(image: Image, reader: ImageReader): ImageResult {
  const { bytes: size, ...facts } = image
  const methods: Pick<ImageResult, 'bytes' | 'blob' | 'stream' | 'save'> = {
    bytes: (options) => reader.bytes(image, options),
    blob: async (options) =>
      new Blob([await reader.bytes(image, options)], { type: image.mime_type }),
    stream: (options) => reader.stream(image, options),
    save: (path, options) => reader.save(image, path, options),
  }
  const hidden = { ...methods, toJSON: () => image }
  const result = { ...facts, size }
  for (const [name, value] of Object.entries(hidden)) {
    Object.defineProperty(result, name, { value, writable: true, configurable: true })
  }
  return result as typeof result & typeof methods
}
