import type { Readable } from 'node:stream'

export type StorageKind = 's3' | 'disk' | 'inline'

export interface ObjectToPut {
  /** Made by the server only, such as `u/<user>/<uuid>.png`; see `isObjectKey`. */
  readonly key: string
  readonly bytes: Uint8Array
  readonly contentType: string
  /** SHA-256 of the bytes, in hex. */
  readonly sha256: string
  /** Name a browser saves the file under. */
  readonly filename: string
}

export interface ObjectUrl {
  readonly url: string
  /** Null: the address does not expire. */
  readonly expiresAt: Date | null
}

export interface ListedObject {
  readonly key: string
  /** When it was last put, by the store's clock; see `ObjectStore.now`. */
  readonly modifiedAt: Date
  readonly bytes: number
}

/** Inclusive byte offsets, within the object. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Under which the server puts what it keeps for accounts. */
export const OBJECT_PREFIX = 'u/'
/** Under which each database that uses a store has an object of its name. */
export const MARKER_PREFIX = 'databases/'

const KEY = /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/
const MAX_KEY_LENGTH = 512

/** Whether a key has the shape the server makes: no `..`, no empty or hidden part, ASCII only. */
export function isObjectKey(key: string): boolean {
  return key.length <= MAX_KEY_LENGTH && KEY.test(key) && !key.includes('..')
}

/** The store could not be reached or refused; a later try may succeed. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError'
}

/**
 * Keeps the bytes of images. Promises:
 * - after `put` resolves the object is durable, whole and to be read, or `put` rejects with `ObjectStoreError`
 *   and no reader ever sees half of it; putting the same key again replaces it;
 * - `read` of a missing key resolves to undefined, `delete` of one resolves;
 * - a key that is not an `isObjectKey` is refused by `put` and is a missing one elsewhere;
 * - `url` resolves to null where the store has no address of its own (inline);
 * - `list` yields, in any order, each object under a prefix that ends in `/`, `OBJECT_PREFIX` unless
 *   told, that is there from its beginning to its end; one that comes or goes meanwhile may be among them. It holds a page at a time, may be
 *   left at any point, and each call begins anew;
 * - `now` is the clock by which `modifiedAt` is told. No other clock says how old an object is.
 */
export interface ObjectStore {
  readonly kind: StorageKind
  put(object: ObjectToPut): Promise<void>
  read(key: string, range?: ByteRange): Promise<Readable | undefined>
  delete(key: string): Promise<void>
  url(key: string): Promise<ObjectUrl | null>
  list(prefix?: string): AsyncIterable<ListedObject>
  now(): Promise<Date>
  /** Rejects with `ObjectStoreError` when the store cannot be used. */
  check(): Promise<void>
}

/** The store for new objects. Older ones stay where they were made, under another configuration. */
export interface CurrentObjectStore extends ObjectStore {
  /** A store of another kind, opened on first use; undefined where it is not configured. */
  other(kind: StorageKind): Promise<ObjectStore | undefined>
}
