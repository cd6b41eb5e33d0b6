import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Image } from '@nanobanana/shared'
import type { Db, Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid, parseId } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import { sha256Of } from '../../kernel/sha256.ts'
import type { ImageMimeType } from '../../ports/image-codec.ts'
import {
  type ByteRange,
  ObjectStoreError,
  type ObjectToPut,
  type StorageKind,
} from '../../ports/object-store.ts'
import { doomObjects, doomObjectsOfGeneration, doomObjectsOfUser } from './doomed.repo.ts'
import { finish, type Output } from './finish.ts'
import {
  deleteStoredBytes,
  findImage,
  findImageByObjectKey,
  type ImageRow,
  insertImage,
  listImages,
  type NewImage,
  selectStoredBytes,
  type StoredObject,
} from './images.repo.ts'
import { storeOf } from './store-of.ts'
import { sweepObjects } from './sweep.ts'

export { deleteObjects, sweepDoomed } from './doomed.ts'

const EXTENSIONS: Record<ImageMimeType, string> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/webp': 'webp',
}

const THUMBNAIL_WIDTH = 256

/** An image whose row is still to be written. */
export interface FinishedImage {
  readonly row: NewRow
  /** False where it has not the format or quality asked for. */
  readonly isAsAsked: boolean
  /** Undefined: its bytes rest in the store. */
  readonly unstored: Unstored | undefined
}

export type NewRow = Omit<NewImage, 'position'>

/** Bytes that the store did not take, and why; a later try may succeed. */
export interface Unstored {
  readonly bytes: Uint8Array
  readonly error: AppError
}

/** Finishes, measures and stores a picture, which is durable then unless the store failed. */
export async function store(
  deps: Pick<Deps, 'objectStore' | 'codec' | 'log'>,
  owner: { userId: string; generationId: string },
  picture: Uint8Array,
  output: Output,
): Promise<FinishedImage> {
  const { bytes, facts, isAsAsked } = await finish(deps, picture, output)
  const id = newUuid()
  const row: NewRow = {
    id,
    generation_id: owner.generationId,
    user_id: owner.userId,
    storage: deps.objectStore.kind,
    object_key: `u/${owner.userId}/${id}.${EXTENSIONS[facts.mimeType]}`,
    mime_type: facts.mimeType,
    width: facts.width,
    height: facts.height,
    bytes: bytes.byteLength,
    sha256: await sha256Of(bytes),
  }
  const error = await refusalOf(deps, objectOf(row, bytes))
  return { row, isAsAsked, unstored: error && { bytes, error } }
}

/** Stores the bytes of an image that its store did not take before. */
export const storeAgain = (
  deps: Pick<Deps, 'objectStore'>,
  row: Pick<NewRow, ObjectColumn>,
  bytes: Uint8Array,
): Promise<void> => putOrRefuse(deps, objectOf(row, bytes))

type ObjectColumn = 'id' | 'object_key' | 'mime_type' | 'sha256'

const objectOf = (row: Pick<NewRow, ObjectColumn>, bytes: Uint8Array): ObjectToPut => ({
  key: row.object_key,
  bytes,
  contentType: row.mime_type,
  sha256: row.sha256,
  filename: filenameOf(row),
})

/** Why the store did not take it; an inline one fails with the database, which then is of no help. */
async function refusalOf(
  deps: Pick<Deps, 'objectStore'>,
  object: ObjectToPut,
): Promise<AppError | undefined> {
  try {
    await putOrRefuse(deps, object)
    return undefined
  } catch (error) {
    if (!(error instanceof AppError) || deps.objectStore.kind === 'inline') throw error
    return error
  }
}

/** Stores bytes that are no result, such as a copy of what a request brought. */
export async function storeCopy(
  deps: Pick<Deps, 'objectStore'>,
  userId: string,
  bytes: Uint8Array,
  mimeType: ImageMimeType,
): Promise<StoredObject> {
  const name = `${newUuid()}.${EXTENSIONS[mimeType]}`
  const key = `u/${userId}/${name}`
  const sha256 = await sha256Of(bytes)
  await putOrRefuse(deps, { key, bytes, contentType: mimeType, sha256, filename: name })
  return { storage: deps.objectStore.kind, object_key: key }
}

/** All of an object; rejects where it is gone or its store cannot be used. */
export async function readObject(
  deps: Pick<Deps, 'objectStore'>,
  { storage, object_key }: StoredObject,
): Promise<Buffer> {
  const store = await storeOf(deps, storage).catch(unavailable)
  const body = await store?.read(object_key).catch(unavailable)
  if (body === undefined) throw new AppError('unavailable', 'An image of the request is gone.')
  return buffer(body)
}

/** Writes the rows of images that rest in the store, in their order, in the transaction that ends their generation. */
export async function record(
  tx: Tx,
  deps: Pick<Deps, 'settings'>,
  images: readonly { readonly row: NewRow }[],
): Promise<ImageRow[]> {
  const rows: ImageRow[] = []
  for (const [position, { row }] of images.entries()) {
    const retention = row.storage === 'inline' ? deps.settings.inlineRetentionSeconds : null
    rows.push(await insertImage(tx, { ...row, position }, retention))
  }
  return rows
}

/** Refuses an account whose images take all the bytes it may have. What runs may still pass the bound. */
export async function refuseFull(
  tx: Tx,
  { settings: { maxStoredBytes } }: Pick<Deps, 'settings'>,
  userId: string,
): Promise<void> {
  if (maxStoredBytes === null || (await selectStoredBytes(tx, userId)) < maxStoredBytes) return
  throw new AppError(
    'rate_limited',
    `The account's storage quota of ${maxStoredBytes} bytes is used up; delete generations to make room.`,
    // Nothing but a deletion makes room.
    { headers: { 'x-should-retry': 'false' } },
  )
}

/** Forgets how much an account stores, before all of it is removed. */
export const forgetStored = (tx: Tx, userId: string): Promise<void> => deleteStoredBytes(tx, userId)

export const listByGeneration = (
  db: Db,
  userId: string,
  generationIds: readonly string[],
): Promise<ImageRow[]> => listImages(db, userId, generationIds)

/** Dooms objects in the transaction that removes the last row which names them. */
export const doom = (tx: Tx, objects: readonly StoredObject[]): Promise<void> =>
  doomObjects(tx, objects)

/** Dooms the objects of all images of an account, in the transaction that removes their rows. */
export const doomAllOf = (tx: Tx, userId: string): Promise<void> => doomObjectsOfUser(tx, userId)

/** The same for one generation; answers the objects, for `deleteObjects`. */
export const doomObjectsOf = (
  tx: Tx,
  userId: string,
  generationId: string,
): Promise<StoredObject[]> => doomObjectsOfGeneration(tx, userId, generationId)

/** Removes from a store what no image needs any more; 0 where it is not configured. */
export async function sweepStore(
  deps: Pick<Deps, 'db' | 'objectStore' | 'log'>,
  kind: StorageKind,
  signal: AbortSignal,
): Promise<number> {
  const store = await storeOf(deps, kind)
  return store === undefined ? 0 : sweepObjects(deps, store, signal)
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
  const store = await storeOf(deps, row.storage).catch(unavailable)
  if (store === undefined) return { url: null, expiresAt: null }
  const address = await store.url(row.object_key).catch(unavailable)
  if (address !== null) return address
  if (inline === 'address') return { url: content, expiresAt: row.expires_at }
  const body = await store.read(row.object_key).catch(unavailable)
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
  const store = await storeOf(deps, row.storage).catch(unavailable)
  const body = await store?.read(row.object_key, range).catch(unavailable)
  if (body === undefined) throw new AppError('not_found')
  return body
}

/** A WebP of at most the width; the store is read only where none is kept, when its turn comes. */
export async function readThumbnail(
  deps: Pick<Deps, 'objectStore' | 'codec'>,
  row: ImageRow,
  width: number,
): Promise<Uint8Array> {
  const read = async () => buffer(await readBytes(deps, row))
  return deps.codec.thumbnail({ sha256: row.sha256, read }, width)
}

export const filenameOf = (row: Pick<ImageRow, 'id' | 'mime_type'>): string =>
  `${idOf('img', row.id)}.${EXTENSIONS[row.mime_type]}`

const unavailable = (error: unknown): never => {
  throw storeTrouble(error)
}

async function putOrRefuse(deps: Pick<Deps, 'objectStore'>, object: ObjectToPut): Promise<void> {
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
