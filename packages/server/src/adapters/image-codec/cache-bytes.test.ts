import { expect, it, vi } from 'vitest'
import { cacheBytes } from './cache-bytes.ts'

const make = (length: number) => vi.fn(async () => new Uint8Array(length))

it('makes once what many ask for at once and later', async () => {
  const cached = cacheBytes(10)
  const once = make(4)
  const all = await Promise.all(Array.from({ length: 5 }, () => cached('a', once)))
  expect(new Set(all).size).toBe(1)
  expect(await cached('a', once)).toBe(all[0])
  expect(once).toHaveBeenCalledTimes(1)
})

it('keeps the last used ones, up to its bytes', async () => {
  const cached = cacheBytes(10)
  const [a, b, c] = [make(4), make(4), make(4)]
  await cached('a', a)
  await cached('b', b)
  await cached('a', a)
  await cached('c', c)
  await cached('a', a)
  expect(a).toHaveBeenCalledTimes(1)
  await cached('b', b)
  expect(b).toHaveBeenCalledTimes(2)
})

it('does not keep what is larger than all it may keep', async () => {
  const cached = cacheBytes(10)
  const huge = make(11)
  await cached('a', huge)
  await cached('a', huge)
  expect(huge).toHaveBeenCalledTimes(2)
})

it('forgets a failure, which all who asked meanwhile are told', async () => {
  const cached = cacheBytes(10)
  const failing = vi.fn(() => Promise.reject(new Error('failed')))
  const both = await Promise.allSettled([cached('a', failing), cached('a', failing)])
  expect(both.map((one) => one.status)).toEqual(['rejected', 'rejected'])
  expect(failing).toHaveBeenCalledTimes(1)
  expect(await cached('a', make(3))).toHaveLength(3)
})
