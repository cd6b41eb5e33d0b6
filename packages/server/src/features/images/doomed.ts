import type { Deps } from '../../kernel/deps.ts'
import type { ObjectStore, StorageKind } from '../../ports/object-store.ts'
import { claimDoomed, forgetDoomed, hasDoomed, preciseTime, releaseDoomed } from './doomed.repo.ts'
import type { StoredObject } from './images.repo.ts'
import { storeOf } from './store-of.ts'

export type DoomDeps = Pick<Deps, 'db' | 'objectStore' | 'log'>

const KINDS: readonly StorageKind[] = ['inline', 'disk', 's3']
const BATCH_LENGTH = 100
/** Inline objects take a connection each, of which requests want most. */
const AT_ONCE = 4
/** One object may be undeletable; so many in a row mean that the store is. */
const MAX_FAILURES_IN_A_ROW = 10

/** Removes objects that nobody can reach any more; what cannot be removed is logged and stays doomed. */
export async function deleteObjects(
  deps: DoomDeps,
  objects: readonly StoredObject[],
): Promise<void> {
  for (const kind of KINDS) {
    const keys = objects.flatMap(({ storage, object_key }) => (storage === kind ? object_key : []))
    if (keys.length === 0) continue
    try {
      const store = await storeOf(deps, kind)
      if (store === undefined) throw new Error('the store they lie in is not configured')
      const { gone } = await deleteKeys(deps, store, keys)
      await forgetDoomed(deps.db, kind, gone)
    } catch (error) {
      deps.log.error({ err: error, storage: kind, keys }, 'objects could not be deleted')
    }
  }
}

/**
 * Removes what deletions have left, `limit` objects of each store at most; resolves to how many went.
 * May be left at any point and may run twice at once. A store that fails stops only its own objects.
 */
export async function sweepDoomed(
  deps: DoomDeps,
  signal: AbortSignal,
  limit = Number.POSITIVE_INFINITY,
): Promise<number> {
  const errors: unknown[] = []
  let removed = 0
  for (const kind of KINDS) {
    try {
      for await (const count of sweepKind(deps, kind, limit)) {
        removed += count
        if (signal.aborted) return removed
      }
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
  return removed
}

/** Yields after each batch how many of it went. */
async function* sweepKind(
  deps: DoomDeps,
  kind: StorageKind,
  limit: number,
): AsyncGenerator<number> {
  const { db, log } = deps
  if (!(await hasDoomed(db, kind))) return
  const store = await storeOf(deps, kind)
  if (store === undefined) {
    log.warn({ storage: kind }, 'objects wait to be deleted in a store that is not configured')
    return
  }
  // What fails is due again from now on, and left to the next sweep.
  const at = await preciseTime(db)
  for (let left = limit; left > 0; left -= BATCH_LENGTH) {
    const keys = await claimDoomed(db, kind, { at, limit: Math.min(left, BATCH_LENGTH) })
    if (keys.length === 0) return
    const { gone, kept, error } = await deleteKeys(deps, store, keys)
    await forgetDoomed(db, kind, gone)
    await releaseDoomed(db, kind, kept)
    yield gone.length
    if (error !== undefined) throw error
  }
}

interface Outcome {
  readonly gone: readonly string[]
  readonly kept: readonly string[]
  /** Of a store that refused one after the other. */
  readonly error?: unknown
}

async function deleteKeys(
  { log }: Pick<Deps, 'log'>,
  store: ObjectStore,
  keys: readonly string[],
): Promise<Outcome> {
  const gone = new Set<string>()
  const queue = keys.values()
  let failures = 0
  let error: unknown
  const work = async () => {
    for (const key of queue) {
      if (failures >= MAX_FAILURES_IN_A_ROW) return
      try {
        await store.delete(key)
        gone.add(key)
        failures = 0
      } catch (cause) {
        failures++
        error = cause
        log.warn({ err: cause, storage: store.kind, object_key: key }, 'an object was not deleted')
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const kept = keys.filter((key) => !gone.has(key))
  return { gone: [...gone], kept, ...(failures >= MAX_FAILURES_IN_A_ROW ? { error } : {}) }
}
