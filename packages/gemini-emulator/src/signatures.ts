import { createHash } from 'node:crypto'

const cache = new Map<number, string>()

/** Gives valid base64 of about the length asked, the same for every call. */
export function signature(lengthBytes: number): string {
  const cached = cache.get(lengthBytes)
  if (cached !== undefined) return cached
  const seed = createHash('sha512').update('thought').digest()
  const made = Buffer.alloc(Math.ceil((lengthBytes * 3) / 4), seed).toString('base64')
  cache.set(lengthBytes, made)
  return made
}
