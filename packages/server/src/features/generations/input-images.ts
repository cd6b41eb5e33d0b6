import { buffer } from 'node:stream/consumers'
import type { ImageInput, UploadedImage } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { uuidOf } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import { type EncodedImage, UnusableImageError } from '../../ports/image-codec.ts'
import * as images from '../images/images.service.ts'
import { findGeneration } from './generations.repo.ts'
import { visibleTo } from './visible.ts'

type InputDeps = Pick<Deps, 'db' | 'objectStore' | 'codec' | 'room' | 'settings'>

/** Bytes of one image as it goes to the provider, which takes 7 MB a file. */
const MAX_IMAGE_BYTES = 7e6

/** Decoded bytes of all images as they go to the provider: its 100 MB, less what base64 adds. */
const MAX_TOTAL_BYTES = 75e6

/** The images of a request, ready for the provider. */
export interface InputImages {
  readonly images: readonly EncodedImage[]
  /** The first generation that is referred to. */
  readonly parentId: string | null
  /** Gives back the room they take. */
  release(): void
}

/**
 * Reads, checks and re-encodes the images of a request one after the other, so that of the
 * originals no more than one is held beside its copy. Uploads are let go of.
 */
export async function prepareImages(
  deps: InputDeps,
  principal: Principal,
  inputs: readonly ImageInput[],
): Promise<InputImages> {
  checkUploads(deps, inputs)
  const prepared: EncodedImage[] = []
  let total = 0
  const release = () => deps.room.give(total)
  try {
    for (const [index, input] of inputs.entries()) {
      const image = await prepare(deps, principal, input, `images.${index}`)
      const { length } = image.bytes
      if (total + length > MAX_TOTAL_BYTES) throw tooLarge('images', megabytes(MAX_TOTAL_BYTES))
      if (!deps.room.take(length)) throw overloaded()
      total += length
      prepared.push(image)
    }
  } catch (error) {
    release()
    throw error
  }
  const parent = inputs.find((input) => 'generation_id' in input)
  const parentId = parent === undefined ? null : uuidOf(parent.generation_id)
  return { images: prepared, parentId, release }
}

const overloaded = (cause?: unknown): AppError =>
  new AppError('overloaded', 'Too many images are in flight.', { retryAfterSeconds: 2, cause })

function checkUploads({ settings }: Pick<Deps, 'settings'>, inputs: readonly ImageInput[]): void {
  const sizes = inputs.map((input) => ('data' in input ? input.data.bytes.length : 0))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  if (total > settings.maxUploadBytes) throw tooLarge('images', `${settings.maxUploadBytes} bytes`)
}

const tooLarge = (param: string, limit: string): AppError =>
  new AppError('payload_too_large', `${param}: the images together are larger than ${limit}.`, {
    param,
  })

const megabytes = (bytes: number): string => `${bytes / 1e6} MB`

function prepare(
  deps: InputDeps,
  principal: Principal,
  input: ImageInput,
  param: string,
): Promise<EncodedImage> {
  return 'data' in input
    ? prepareUpload(deps, input.data, input.mime_type, param)
    : prepareReference(deps, principal, input, param)
}

async function prepareUpload(
  deps: InputDeps,
  upload: UploadedImage,
  mimeType: string | undefined,
  param: string,
): Promise<EncodedImage> {
  const facts = await deps.codec.measure(upload.bytes)
  for (const declared of [mimeType, upload.declaredType])
    if (facts !== undefined) refuseOtherType(declared, facts.mimeType, param)
  const image = await sanitize(deps, upload.bytes, param)
  upload.release()
  return image
}

/** A wrong label is a sign of a mistake that the caller would rather hear of. */
function refuseOtherType(declared: string | undefined, found: string, param: string): void {
  if (declared === undefined) return
  const type = declared.split(';', 1)[0]?.trim().toLowerCase()
  if (type === found || (type === 'image/jpg' && found === 'image/jpeg')) return
  throw new AppError('invalid_image', `${param}: is declared as ${declared}, but is ${found}.`, {
    param,
  })
}

async function sanitize(
  { codec }: Pick<Deps, 'codec'>,
  bytes: Uint8Array,
  param: string,
): Promise<EncodedImage> {
  try {
    return await codec.sanitize(bytes, { maxBytes: MAX_IMAGE_BYTES })
  } catch (error) {
    if (!(error instanceof UnusableImageError)) throw error
    if (error.reason === 'busy') throw overloaded(error)
    const code = error.reason === 'too-large' ? 'payload_too_large' : 'invalid_image'
    throw new AppError(code, `${param}: ${error.message}.`, { param, cause: error })
  }
}

/** An image of ours goes as it is where it fits: encoding it again at each edit would wear it out. */
async function prepareReference(
  deps: InputDeps,
  principal: Principal,
  {
    generation_id: generationId,
    image_id: imageId,
  }: Extract<ImageInput, { generation_id: string }>,
  param: string,
): Promise<EncodedImage> {
  const visible = visibleTo(principal)
  const generation = await findGeneration(deps.db, visible, uuidOf(generationId))
  if (generation === undefined)
    throw absent(`${param}.generation_id`, 'There is no such generation')
  const rows = await images.listByGeneration(deps.db, principal.userId, [generation.id])
  const row = imageId === undefined ? rows[0] : rows.find(({ id }) => id === uuidOf(imageId))
  const field = imageId === undefined ? 'generation_id' : 'image_id'
  if (row === undefined) throw absent(`${param}.${field}`, 'The generation has no such image')
  if (row.expired) throw absent(`${param}.${field}`, 'The image has expired')
  const bytes = await buffer(await images.readBytes(deps, row))
  return bytes.length <= MAX_IMAGE_BYTES
    ? { bytes, mimeType: row.mime_type }
    : sanitize(deps, bytes, param)
}

const absent = (param: string, what: string): AppError =>
  new AppError('not_found', `${param}: ${what}.`, { param })
