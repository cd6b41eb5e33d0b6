import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { sql } from 'kysely'
import type { Db } from '../db/client.ts'
import type { CurrentObjectStore, ObjectStore, StorageKind } from '../ports/object-store.ts'
import type { Search, Violation } from './violation.ts'

const PAGE = 500
/** The sweeper removes what is older than 24 h, and comes by every hour or so. */
const SWEEP_AGE_MS = 26 * 3_600_000
const FIRST_UUID = '00000000-0000-0000-0000-000000000000'

interface Image {
  id: string
  storage: StorageKind
  object_key: string
  sha256: string
}

export const doomedImages: Search = {
  invariant: 'I4',
  statement: sql`
    select 'its object is about to be deleted' as what, array[id::text, object_key] as ids
    from (select id, storage, object_key from images
      union all
      select id, storage, object_key from spooled_images) as kept
    join doomed_objects using (storage, object_key)`,
}

/** Of an image whose row is yet to come, while others of its generation wait for their store. */
const STORED_EARLY = sql`
  select id, storage, object_key, sha256 from spooled_images where body is null`
const STORED = sql`
  select id, storage, object_key, sha256 from images where coalesce(expires_at > now(), true)`

/** Reads the object of every image. One that was deleted meanwhile is looked for again. */
export async function* findBadObjects(
  db: Db,
  objects: CurrentObjectStore,
): AsyncIterable<Violation> {
  for (let after = FIRST_UUID; ;) {
    const page = await imagesAfter(db, after)
    for (const image of page) {
      const what = await faultOf(objects, image)
      if (what === undefined || !(await isStillThere(db, image))) continue
      yield { invariant: 'I4', what, ids: [image.id, image.object_key] }
    }
    const last = page.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function imagesAfter(db: Db, id: string): Promise<Image[]> {
  const { rows } = await sql<Image>`
    select * from (${STORED} union all ${STORED_EARLY}) as stored
    where id > ${id} order by id limit ${PAGE}::int`.execute(db)
  return rows
}

async function isStillThere(db: Db, { id }: Image): Promise<boolean> {
  const { rows } = await sql`
    select from (${STORED} union all ${STORED_EARLY}) as stored where id = ${id}`.execute(db)
  return rows.length > 0
}

async function faultOf(objects: CurrentObjectStore, image: Image): Promise<string | undefined> {
  const store = await storeOf(objects, image.storage)
  if (store === undefined) return `its object lies in ${image.storage}, which is not configured`
  const bytes = await store.read(image.object_key)
  if (bytes === undefined) return `its object is missing in ${image.storage}`
  const hash = createHash('sha256')
  await pipeline(bytes, hash)
  const found = hash.digest('hex')
  return found === image.sha256
    ? undefined
    : `its object has the SHA-256 ${found} instead of ${image.sha256}`
}

const storeOf = async (
  objects: CurrentObjectStore,
  kind: StorageKind,
): Promise<ObjectStore | undefined> => (kind === objects.kind ? objects : objects.other(kind))

const KINDS: readonly StorageKind[] = ['s3', 'disk', 'inline']

/** Old objects that no image has, in every store that is configured. */
export async function* findOrphans(db: Db, objects: CurrentObjectStore): AsyncIterable<Violation> {
  for (const kind of KINDS) {
    const store = await storeOf(objects, kind)
    if (store !== undefined) yield* findOrphansIn(db, store)
  }
}

async function* findOrphansIn(db: Db, store: ObjectStore): AsyncIterable<Violation> {
  const limit = (await store.now()).getTime() - SWEEP_AGE_MS
  let page: string[] = []
  const found = async () => {
    const orphans = await withoutRow(db, store.kind, page)
    page = []
    return orphans.map((key): Violation => {
      const what = `an object in ${store.kind} is older than a day and has no image`
      return { invariant: 'I4', what, ids: [key] }
    })
  }
  for await (const { key, modifiedAt } of store.list()) {
    if (modifiedAt.getTime() > limit) continue
    page.push(key)
    if (page.length === PAGE) yield* await found()
  }
  yield* await found()
}

async function withoutRow(
  db: Db,
  storage: StorageKind,
  keys: readonly string[],
): Promise<string[]> {
  if (keys.length === 0) return []
  const { rows } = await sql<{ key: string }>`
    select key from jsonb_array_elements_text(${JSON.stringify(keys)}::jsonb) as key
    where not exists (
      select from images where object_key = key and storage = ${storage}
      union all
      select from input_images where object_key = key and storage = ${storage}
      union all
      select from spooled_images where object_key = key
    ) and not exists (
      select from doomed_objects where object_key = key and storage = ${storage}
    )`.execute(db)
  return rows.map(({ key }) => key)
}
