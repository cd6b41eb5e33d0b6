import type { Deps } from '../../kernel/deps.ts'
import { type ListedObject, type ObjectStore, ObjectStoreError } from '../../ports/object-store.ts'
import { databaseTime, findExpiries, freeImages } from './images.repo.ts'
import { isOurs } from './marker.ts'

/** An object without a row is left alone for 24 h: the row of a running generation is yet to come. */
const ORPHAN_AGE_MS = 86_400_000
const BATCH_LENGTH = 500
/** One object may be undeletable; so many in a row mean that the store is. */
const MAX_FAILURES_IN_A_ROW = 10

/**
 * Deletes what lies in a store without a row of an image, and what has outlived its image's
 * retention; resolves to the number of objects. May be left at any point and may run twice at once.
 */
export async function sweepObjects(
  deps: Pick<Deps, 'db' | 'log'>,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<number> {
  const youngest = await youngestOrphan(deps, store)
  // The marker as well, which is then older than any object that two databases may have made here.
  if (!(await isOurs(deps, store, youngest))) return 0
  const remove = createRemover(deps, store)
  let removed = 0
  for await (const batch of batchesOf(candidatesOf(store, youngest))) {
    if (signal.aborted) return removed
    const expiries = await findExpiries(deps.db, batch.map(keyOf))
    const doomed = batch.filter(
      (object) => expiries.get(object.key) ?? object.modifiedAt <= youngest,
    )
    const expired = doomed.map(keyOf).filter((key) => expiries.get(key) === true)
    // Before: what is deleted is not listed again, and would count for ever.
    if (expired.length > 0) await freeImages(deps.db, expired)
    for (const { key } of doomed) if (await remove(key)) removed++
  }
  return removed
}

/** By the slower of two clocks: one that runs ahead must not make an object old. */
async function youngestOrphan({ db }: Pick<Deps, 'db'>, store: ObjectStore): Promise<Date> {
  const [one, other] = await Promise.all([store.now(), databaseTime(db)])
  return new Date(Math.min(one.getTime(), other.getTime()) - ORPHAN_AGE_MS)
}

/** Only inline images have a retention, and it may be shorter than an orphan's age. */
async function* candidatesOf(store: ObjectStore, youngest: Date): AsyncGenerator<ListedObject> {
  for await (const object of store.list()) {
    if (store.kind === 'inline' || object.modifiedAt <= youngest) yield object
  }
}

async function* batchesOf<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < BATCH_LENGTH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

const keyOf = ({ key }: ListedObject): string => key

/** False: the object stays until the next sweep. */
function createRemover({ log }: Pick<Deps, 'log'>, store: ObjectStore) {
  let failures = 0
  return async (key: string): Promise<boolean> => {
    try {
      await store.delete(key)
      failures = 0
      return true
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || ++failures === MAX_FAILURES_IN_A_ROW) throw error
      log.warn({ err: error, storage: store.kind, object_key: key }, 'an object was not swept')
      return false
    }
  }
}
