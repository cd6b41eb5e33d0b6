import { z } from 'zod'
import { decodeBase64 } from './base64.ts'
import { text, typeId } from './text.ts'

/** Images of one request, whatever the model takes. */
export const MAX_INPUT_IMAGES = 14

/** An image that came with a request: bytes of unknown kind, as sent. */
export class UploadedImage {
  /** What the sender says it is; undefined where nothing was said. */
  readonly declaredType: string | undefined
  #bytes: Uint8Array

  constructor(bytes: Uint8Array, declaredType?: string) {
    this.#bytes = bytes
    this.declaredType = declaredType
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Lets go of the bytes, which whoever holds the request would keep to its end. */
  release(): void {
    this.#bytes = new Uint8Array()
  }
}

const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)?;base64,/

/** Reads a `data:` URL or bare base64; undefined for what is neither. */
export function readImageData(value: string): UploadedImage | undefined {
  const [prefix = '', declaredType] = DATA_URL.exec(value) ?? []
  const bytes = decodeBase64(value.slice(prefix.length))
  return bytes === undefined ? undefined : new UploadedImage(bytes, declaredType)
}

/** Whether a text names a place on the web, from which no image is fetched. */
export const isWebAddress = (value: unknown): boolean =>
  typeof value === 'string' && /^\s*(https?:|\/\/)/i.test(value)

const received = (value: unknown): string =>
  value === undefined ? 'undefined' : value === null ? 'null' : typeof value

// Callers send text. The entrances cut large images out of a body before it is parsed, and put an
// UploadedImage in their place, which neither the types nor the documents tell of.
const data = z
  .custom<string>((value) => typeof value === 'string' || value instanceof UploadedImage, {
    error: ({ input }) => `Invalid input: expected string, received ${received(input)}`,
  })
  .meta({
    type: 'string',
    contentEncoding: 'base64',
    description: 'The bytes of a PNG, JPEG or WebP in base64, or as a `data:` URL of base64.',
  })
  .transform((value: string | UploadedImage, context): UploadedImage => {
    const image = typeof value === 'string' ? readImageData(value) : value
    if (image !== undefined && image.bytes.length > 0) return image
    context.addIssue({
      code: 'custom',
      message: 'must be base64 or a data: URL of base64',
      params: { code: 'invalid_image' },
    })
    return z.NEVER
  })

const UploadInput = z
  .strictObject({
    data,
    mime_type: text()
      .max(100)
      .optional()
      .describe('What `data` is, if you want it checked; the bytes decide.'),
  })
  .meta({ id: 'UploadInput' })

const ReferenceInput = z
  .strictObject({
    generation_id: typeId('gen', 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz').describe(
      'A generation of your own account.',
    ),
    image_id: typeId('img', 'img_01jd5xk3f8e2r9v7m6q4t0w1yz')
      .optional()
      .describe('Which of its images. Default: the first.'),
  })
  .meta({ id: 'ReferenceInput' })

export const ImageInput = z.union([UploadInput, ReferenceInput]).meta({ id: 'ImageInput' })
export type ImageInput = z.infer<typeof ImageInput>

/** Whether an entry names a place on the web, in any of the ways that other APIs take. */
function namesWebAddress(entry: unknown): boolean {
  if (typeof entry !== 'object' || entry === null) return isWebAddress(entry)
  const fields = entry as Record<string, unknown>
  return ['data', 'url', 'image_url'].some((name) => isWebAddress(fields[name]))
}

export const ImageInputs = z.preprocess(
  (value: z.input<typeof ImageInput>[], context) => {
    const index = Array.isArray(value) ? value.findIndex(namesWebAddress) : -1
    if (index < 0) return value
    context.addIssue({
      code: 'custom',
      message: 'images are not fetched from URLs; send the bytes',
      params: { code: 'image_url_not_supported' },
      path: [index],
    })
    return z.NEVER
  },
  z.array(ImageInput).max(MAX_INPUT_IMAGES, `must have at most ${MAX_INPUT_IMAGES} entries`),
)
