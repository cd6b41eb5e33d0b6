import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestApp, type TestApp } from '../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const readiness = async () => {
  const { status, json } = await app.request('GET', '/readyz')
  return { status, checks: json.checks }
}
const silence = () => new Promise<never>(() => {})
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('a store that never answers is not ready within its deadline, and is asked once', async () => {
  const check = vi.spyOn(app.service.deps.objectStore, 'check').mockImplementation(silence)
  const started = performance.now()
  const all = await Promise.all(Array.from({ length: 20 }, readiness))
  expect(performance.now() - started).toBeLessThan(3000)
  for (const one of all) {
    expect(one).toEqual({ status: 503, checks: { database: true, store: false, draining: false } })
  }
  expect(await readiness()).toEqual(all[0])
  await later(2100)
  expect(await readiness()).toEqual(all[0])
  expect(check).toHaveBeenCalledTimes(1)
  check.mockRestore()
}, 10_000)

test('an answer is kept for a moment, but not whether the service is closing', async () => {
  await using other = await createTestApp()
  const check = vi.spyOn(other.service.deps.objectStore, 'check')
  const statuses = async () =>
    (await Promise.all([1, 2, 3].map(() => other.request('GET', '/readyz')))).map((a) => a.status)
  expect([...(await statuses()), ...(await statuses())]).toEqual([200, 200, 200, 200, 200, 200])
  expect(check).toHaveBeenCalledTimes(1)
  await later(2100)
  expect(await statuses()).toEqual([200, 200, 200])
  expect(check).toHaveBeenCalledTimes(2)
  other.service.drain()
  expect(await statuses()).toEqual([503, 503, 503])
})
