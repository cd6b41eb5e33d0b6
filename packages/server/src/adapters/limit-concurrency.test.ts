import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { limitConcurrency } from './limit-concurrency.ts'

it('runs no more at once than the limit, in order, also past failures', async () => {
  const limited = limitConcurrency(2)
  const started: number[] = []
  let running = 0
  let most = 0
  const work = async (index: number) => {
    started.push(index)
    most = Math.max(most, ++running)
    await sleep(5)
    running--
    if (index % 3 === 0) throw new Error('failed')
    return index
  }
  const results = await Promise.allSettled(
    Array.from({ length: 9 }, (_, index) => limited(() => work(index))),
  )
  expect(started).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(6)
  expect(most).toBe(2)
  expect(await limited(() => work(1))).toBe(1)
})
