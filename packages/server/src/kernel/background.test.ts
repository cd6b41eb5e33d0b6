import { expect, test, vi } from 'vitest'
import { createBackground } from './background.ts'
import type { Log } from './log.ts'

const setup = () => {
  const error = vi.fn<(facts: object, message: string) => void>()
  return { background: createBackground({ error } as unknown as Log), error }
}

test('work runs beside the caller, and drain waits for all of it', async () => {
  const { background } = setup()
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  background.run('slow', async () => {
    await gate.promise
    done.push('slow')
    background.run('late', async () => void done.push('late'))
  })
  background.run('quick', async () => void done.push('quick'))
  const drained = background.drain().then(() => done.push('drained'))
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(done).toEqual(['quick'])
  gate.resolve()
  await drained
  expect(done).toEqual(['quick', 'slow', 'late', 'drained'])
})

test('work that fails, at once or later, is logged by its name and hurts nobody', async () => {
  const { background, error } = setup()
  const late = new Error('later')
  const early = new Error('at once')
  background.run('late', () => Promise.reject(late))
  background.run('early', () => {
    throw early
  })
  await background.drain()
  expect(error.mock.calls.map(([facts]) => facts)).toEqual(
    expect.arrayContaining([
      { err: late, task: 'late' },
      { err: early, task: 'early' },
    ]),
  )
})

test('nothing to wait for is no wait', async () => {
  await setup().background.drain()
})
