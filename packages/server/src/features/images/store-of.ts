import type { Deps } from '../../kernel/deps.ts'
import type { ObjectStore, StorageKind } from '../../ports/object-store.ts'

/** The store that an image was put in; undefined where it is no longer configured. */
export const storeOf = async (
  { objectStore }: Pick<Deps, 'objectStore'>,
  storage: StorageKind,
): Promise<ObjectStore | undefined> =>
  storage === objectStore.kind ? objectStore : objectStore.other(storage)
