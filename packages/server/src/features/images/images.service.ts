import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Image } from '@nanobanana/shared'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid, parseId } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { ImageMimeType } from '../../ports/image-codec.ts'
import { type ByteRange, ObjectStoreError } from '../../ports/object-store.ts'
import {
  findImage,
  findImageByObjectKey,
  type ImageRow,
  insertImage,
  listImages,
  listObjectKeys,
  type NewImage,
} from './images.repo.ts'

const EXTENSIONS: Record<ImageMimeType, string> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/webp': 'webp',
}

const THUMBNAIL_WIDTH = 256

/** An image whose bytes rest in the store, and whose row is still to be written. */
export interface StoredImage {
  readonly row: NewImage
}

/** Measures and stores the bytes of an image; resolves only once they are durable. */
export async function store(
  deps: Pick<Deps, 'objectStore' | 'codec'>,
  owner: { userId: string; generationId: string; position: number },
  bytes: Uint8Array,
): Promise<StoredImage> {
  const facts = await deps.codec.measure(bytes)
  if (facts === undefined) {
    throw new AppError('upstream_invalid', 'The provider sent bytes that are no picture.')
  }
  const id = newUuid()
  const extension = EXTENSIONS[facts.mimeType]
  const object = {
    key: `u/${owner.userId}/${id}.${extension}`,
    bytes,
    contentType: facts.mimeType,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    filename: `${idOf('img', id)}.${extension}`,
  }
  await putOrRefuse(deps, object)
  return {
    row: {
      id,
      generation_id: owner.generationId,
      user_id: owner.userId,
      position: owner.position,
      storage: deps.objectStore.kind,
      object_key: object.key,
      mime_type: facts.mimeType,
      width: facts.width,
      height: facts.height,
      bytes: bytes.byteLength,
      sha256: object.sha256,
    },
  }
}

/** Writes the row of a stored image, in the transaction that ends its generation. */
export function record(
  tx: Tx,
  deps: Pick<Deps, 'settings'>,
  image: StoredImage,
): Promise<ImageRow> {
  const inline = image.row.storage === 'inline'
  return insertImage(tx, image.row, inline ? deps.settings.inlineRetentionSeconds : null)
}

export const listByGeneration = (
  db: Db,
  userId: string,
  generationIds: readonly string[],
): Promise<ImageRow[]> => listImages(db, userId, generationIds)

export const objectKeysOf = (db: Db | Tx, userId: string): Promise<string[]> =>
  listObjectKeys(db, userId)

/** Removes objects whose rows are gone; what the store refuses is logged and left to a sweep. */
export async function deleteObjects(
  deps: Pick<Deps, 'objectStore' | 'log'>,
  keys: readonly string[],
): Promise<void> {
  for (const key of keys) {
    try {
      await deps.objectStore.delete(key)
    } catch (error) {
      deps.log.error({ err: error, object_key: key }, 'an object could not be deleted')
    }
  }
}

/** Where inline bytes go: into the answer itself, or behind their lasting address. */
export type InlineDelivery = 'data-url' | 'address'

export async function render(
  deps: Pick<Deps, 'objectStore' | 'settings'>,
  row: ImageRow,
  inline: InlineDelivery,
): Promise<Image> {
  const content = contentUrl(deps, row)
  const { url, expiresAt } = await urlOf(deps, row, inline, content)
  return {
    id: idOf('img', row.id),
    url,
    url_expires_at: expiresAt?.toISOString() ?? null,
    thumbnail_url: row.expired ? null : `${content}?width=${THUMBNAIL_WIDTH}`,
    mime_type: row.mime_type,
    width: row.width,
    height: row.height,
    bytes: row.bytes,
    sha256: row.sha256,
    storage: row.storage,
    expired: row.expired,
  }
}

const contentUrl = ({ settings }: Pick<Deps, 'settings'>, row: ImageRow): string =>
  `${settings.publicUrl}/v1/images/${idOf('img', row.id)}/content`

async function urlOf(
  deps: Pick<Deps, 'objectStore'>,
  row: ImageRow,
  inline: InlineDelivery,
  content: string,
): Promise<{ url: string | null; expiresAt: Date | null }> {
  if (row.expired) return { url: null, expiresAt: null }
  // An image made under another STORAGE setting has no address of the store in force.
  if (row.storage !== deps.objectStore.kind) return { url: content, expiresAt: null }
  const address = await deps.objectStore.url(row.object_key).catch(unavailable)
  if (address !== null) return address
  if (inline === 'address') return { url: content, expiresAt: row.expires_at }
  const body = await deps.objectStore.read(row.object_key).catch(unavailable)
  if (body === undefined) return { url: null, expiresAt: null }
  const base64 = (await buffer(body)).toString('base64')
  return { url: `data:${row.mime_type};base64,${base64}`, expiresAt: null }
}

/** Facts of an image that a principal may read; absent and foreign ids look the same. */
export async function getReadable(
  deps: Pick<Deps, 'db'>,
  principal: Principal,
  id: string,
): Promise<ImageRow> {
  const uuid = parseId('img', id)
  const mode = principal.kind === 'key' ? principal.mode : undefined
  const row =
    uuid === undefined
      ? undefined
      : await findImage(deps.db, { userId: principal.userId, mode }, uuid)
  if (row === undefined || row.expired) throw new AppError('not_found')
  return row
}

/** Facts of the image that lies under an object key; the key's signature was checked before. */
export async function getByObjectKey(deps: Pick<Deps, 'db'>, key: string): Promise<ImageRow> {
  const row = await findImageByObjectKey(deps.db, key)
  if (row === undefined || row.expired) throw new AppError('not_found')
  return row
}

export async function readBytes(
  deps: Pick<Deps, 'objectStore'>,
  row: ImageRow,
  range?: ByteRange,
): Promise<Readable> {
  const body =
    row.storage === deps.objectStore.kind
      ? await deps.objectStore.read(row.object_key, range).catch(unavailable)
      : undefined
  if (body === undefined) throw new AppError('not_found')
  return body
}

/** A WebP of at most the width. */
export async function readThumbnail(
  deps: Pick<Deps, 'objectStore' | 'codec'>,
  row: ImageRow,
  width: number,
): Promise<Uint8Array> {
  const original = await buffer(await readBytes(deps, row))
  return deps.codec.thumbnail(original, width)
}

export const filenameOf = (row: ImageRow): string =>
  `${idOf('img', row.id)}.${EXTENSIONS[row.mime_type]}`

const unavailable = (error: unknown): never => {
  throw storeTrouble(error)
}

async function putOrRefuse(
  deps: Pick<Deps, 'objectStore'>,
  object: Parameters<Deps['objectStore']['put']>[0],
): Promise<void> {
  try {
    await deps.objectStore.put(object)
  } catch (error) {
    throw storeTrouble(error)
  }
}

const storeTrouble = (error: unknown): unknown =>
  error instanceof ObjectStoreError
    ? new AppError('unavailable', 'The image store cannot be used right now.', {
        retryAfterSeconds: 5,
        cause: error,
      })
    : error
