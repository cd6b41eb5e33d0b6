type Make = () => Promise<Uint8Array>

/**
 * Returns a function that makes what belongs to a key, once for all who ask meanwhile, and keeps the
 * last used results up to a number of bytes. A failure is not kept.
 */
export function cacheBytes(maxBytes: number): (key: string, make: Make) => Promise<Uint8Array> {
  // A map keeps the order of insertion, so the first is the one not used for longest.
  const kept = new Map<string, Uint8Array>()
  const pending = new Map<string, Promise<Uint8Array>>()
  let size = 0

  function keep(key: string, bytes: Uint8Array): void {
    kept.set(key, bytes)
    size += bytes.byteLength
    for (const [oldest, { byteLength }] of kept) {
      if (size <= maxBytes) return
      kept.delete(oldest)
      size -= byteLength
    }
  }

  async function makeAndKeep(key: string, make: Make): Promise<Uint8Array> {
    try {
      const bytes = await make()
      keep(key, bytes)
      return bytes
    } finally {
      pending.delete(key)
    }
  }

  return async (key, make) => {
    const found = kept.get(key)
    if (found !== undefined) {
      kept.delete(key)
      kept.set(key, found)
      return found
    }
    const running = pending.get(key) ?? makeAndKeep(key, make)
    pending.set(key, running)
    return running
  }
}
