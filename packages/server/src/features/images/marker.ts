import type { Deps } from '../../kernel/deps.ts'
import { sha256Of } from '../../kernel/sha256.ts'
import { MARKER_PREFIX, type ObjectStore } from '../../ports/object-store.ts'
import { databaseId } from './images.repo.ts'

const TEXT = 'This database keeps images here. Its sweeper deletes what it does not know.\n'

/**
 * Whether what the database does not know in a store is nobody's: its marker, put here by the first
 * sweep, has lain there since `ripe` and is the only one. Throws where there is another's.
 *
 * Each database has a marker of its own, so that of two which begin at once neither replaces the
 * other's, and both see two before any of their objects is old enough to be swept.
 */
export async function isOurs(
  { db, log }: Pick<Deps, 'db' | 'log'>,
  store: ObjectStore,
  ripe: Date,
): Promise<boolean> {
  // These lie in the database itself.
  if (store.kind === 'inline') return true
  const own = MARKER_PREFIX + (await databaseId(db))
  const markers = await markersOf(store)
  const since = markers.get(own)
  // Beside another's too, or that one would sweep what is ours.
  if (since === undefined) await putMarker(store, own)
  const others = [...markers.keys()].filter((key) => key !== own)
  if (others.length > 0) throw shared(store, own, others)
  if (since !== undefined && since <= ripe) return true
  log.info({ storage: store.kind }, 'the store was marked less than a day ago: it is swept later')
  return false
}

async function markersOf(store: ObjectStore): Promise<ReadonlyMap<string, Date>> {
  const markers = new Map<string, Date>()
  for await (const { key, modifiedAt } of store.list(MARKER_PREFIX)) markers.set(key, modifiedAt)
  return markers
}

async function putMarker(store: ObjectStore, key: string): Promise<void> {
  const bytes = Buffer.from(TEXT)
  const sha256 = await sha256Of(bytes)
  await store.put({ key, bytes, sha256, contentType: 'text/plain', filename: 'marker.txt' })
}

const shared = ({ kind }: ObjectStore, own: string, others: readonly string[]): Error =>
  new Error(
    `the store ${kind} is marked by another database too (${others.join(', ')}; ours is ${own}), so ` +
      'nothing in it is swept. Give each database a bucket or folder of its own; if the other one is ' +
      'gone for good, delete its marker.',
  )
