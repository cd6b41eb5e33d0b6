import { toBase64 } from './base64.ts'
import { readFile } from './files.ts'
import type { GenerateInput, ReferenceInput, UploadInput } from './generated/types.ts'

/**
 * An image to edit or to refer to: a file or bytes, a stream of bytes, a path (Node, Bun and Deno),
 * an earlier generation, or base64 as the service takes it.
 */
export type ImageSource =
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | string
  | URL
  | ReferenceInput
  | UploadInput

/** What to make: the input of the service, with images as they are at hand. */
export interface GenerateParams extends Omit<GenerateInput, 'images'> {
  /**
   * Images to edit or to refer to, in order, as many as the model takes. The first `generation_id`
   * becomes `parent_id`. A stream is read to its end before anything is sent, so that it can be sent
   * again.
   */
  images?: ImageSource[]
}

type Entry = ReferenceInput | UploadInput
type Image = Blob | Entry

/** The body of a request: JSON, or a form where there are files. */
export async function toBody({ images, ...fields }: GenerateParams): Promise<object> {
  if (images === undefined) return fields
  const read = await Promise.all(images.map(readSource))
  return fitsForm(read) ? toForm(fields, read) : { ...fields, images: await toEntries(read) }
}

async function readSource(source: ImageSource): Promise<Image> {
  if (source instanceof Blob) return source
  if (source instanceof URL)
    return source.protocol === 'file:' ? read(source) : { data: source.href }
  if (typeof source === 'string') return isAddress(source) ? { data: source } : read(source)
  if (source instanceof ArrayBuffer) return new Blob([source])
  // Those of a SharedArrayBuffer are copied by the Blob as well.
  if (ArrayBuffer.isView(source)) return new Blob([source as ArrayBufferView<ArrayBuffer>])
  if (source instanceof ReadableStream) return new Response(source).blob()
  if (Symbol.asyncIterator in source) return gather(source)
  return source
}

/** A `data:` URL is an image; one of the web the service refuses in its own words. */
const isAddress = (text: string): boolean => /^(data:|https?:\/\/)/i.test(text)

const read = async (path: string | URL): Promise<Blob> => new Blob([await readFile(path)])

async function gather(source: AsyncIterable<Uint8Array>): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = []
  for await (const part of source) parts.push(part as Uint8Array<ArrayBuffer>)
  return new Blob(parts)
}

/** A form has one field for all references, so they must stand together, and is for files. */
function fitsForm(images: readonly Image[]): boolean {
  const references = images.flatMap((image, i) => (image instanceof Blob ? [] : [i]))
  const [first = 0] = references
  const areTogether = references.every((place, i) => place === first + i)
  const haveUploads = images.some((image) => !(image instanceof Blob) && 'data' in image)
  return references.length < images.length && areTogether && !haveUploads
}

function toForm(fields: object, images: readonly Image[]): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    if (value !== undefined) form.append(name, toField(value))
  }
  const references = images.filter((image) => !(image instanceof Blob))
  let areSent = false
  for (const image of images) {
    if (image instanceof Blob) form.append('image', image, nameOf(image))
    else if (!areSent) form.append('images', JSON.stringify(references))
    areSent ||= !(image instanceof Blob)
  }
  return form
}

const toField = (value: unknown): string =>
  typeof value === 'object' ? JSON.stringify(value) : String(value)

const nameOf = (image: Blob): string =>
  image instanceof File && image.name !== '' ? image.name : 'image'

const toEntries = (images: readonly Image[]): Promise<Entry[]> =>
  Promise.all(
    images.map(async (image) =>
      image instanceof Blob ? { data: toBase64(new Uint8Array(await image.arrayBuffer())) } : image,
    ),
  )
