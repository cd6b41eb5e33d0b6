import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { attempt } from '../adapters/object-store/attempt.ts'
import { createDiskObjectStore } from '../adapters/object-store/disk.ts'
import { createInlineObjectStore } from '../adapters/object-store/inline.ts'
import { createS3ObjectStore } from '../adapters/object-store/s3.ts'
import type { Config } from '../config.ts'
import type { Deps } from '../kernel/deps.ts'
import { signPath } from '../kernel/signed-url.ts'
import type { CurrentObjectStore, ObjectStore, StorageKind } from '../ports/object-store.ts'

type StoreParts = Pick<Deps, 'db' | 'settings' | 'secrets' | 'now'>

/** The store that new objects go to, and by it those that older ones may lie in. */
export async function openStores(
  config: Config,
  parts: StoreParts,
  given?: ObjectStore,
): Promise<CurrentObjectStore> {
  const current = given ?? (await openStore(config, config.storage, parts))
  const opened = new Map<StorageKind, Promise<ObjectStore>>()
  return {
    ...current,
    async other(kind) {
      const storage = storageOf(config, kind)
      if (storage === undefined || isNeverUsed(config, storage)) return undefined
      const open = () => openStore(config, storage, parts)
      const store = opened.get(kind) ?? attempt(`open the store ${kind}`, open)
      opened.set(kind, store)
      // A later use tries again.
      store.catch(() => opened.delete(kind))
      return store
    },
  }
}

function storageOf({ storage, s3 }: Config, kind: StorageKind): Config['storage'] | undefined {
  if (kind === storage.kind) return storage
  return kind === 's3' ? s3 : { kind }
}

/** Opening the store on disk makes its folder, which only a store for new objects needs. */
const isNeverUsed = (config: Config, { kind }: Config['storage']): boolean =>
  kind === 'disk' && config.storage.kind !== 'disk' && !existsSync(filesOf(config))

const filesOf = ({ dataDir }: Config): string => join(dataDir, 'files')

async function openStore(
  config: Config,
  storage: Config['storage'],
  { db, settings, secrets, now }: StoreParts,
): Promise<ObjectStore> {
  if (storage.kind === 'inline') return createInlineObjectStore(db)
  const { urlTtlSeconds } = settings
  if (storage.kind === 's3') return createS3ObjectStore({ ...storage, urlTtlSeconds, now })
  return createDiskObjectStore({
    folder: filesOf(config),
    signUrl: (key) => {
      const expires = Math.floor(now().getTime() / 1000) + urlTtlSeconds
      const query = signPath(secrets.urlSigningKeys[0], { path: `/files/${key}`, expires })
      return {
        url: `${settings.publicUrl}/files/${key}?${query}`,
        expiresAt: new Date(expires * 1000),
      }
    },
  })
}
