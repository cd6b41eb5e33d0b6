import { expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import type { Emulator } from './emulator.ts'
import { SCENARIOS } from './scenarios/table.ts'
import { post, promptBody } from './test-client.ts'

test('a script comes over HTTP, as a list or with a default', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8 })
  expect(await control(emulator, 'POST', '/script', ['overloaded'])).toMatchObject({ queued: 1 })
  const more = { queue: [{ name: 'internal', times: 2 }], default: 'no-content' }
  expect(await control(emulator, 'POST', '/script', more)).toMatchObject({ queued: 3 })
  expect(await statuses(emulator, 4)).toEqual([503, 500, 500, 204])
  expect(await control(emulator, 'POST', '/script', { default: null })).toMatchObject({ queued: 0 })
  expect(await statuses(emulator, 1)).toEqual([200])
})

test('a script is cleared over HTTP', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8 })
  await control(emulator, 'POST', '/script', { queue: ['internal'], default: 'overloaded' })
  expect(await control(emulator, 'DELETE', '/script')).toMatchObject({ queued: 0 })
  expect(await statuses(emulator, 1)).toEqual([200])
})

test('the log and the counters are read and cleared over HTTP', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8, pathPrefix: '/gemini' })
  await statuses(emulator, 1)
  await emulator.idle()
  expect(await control(emulator, 'GET', '/requests')).toEqual({
    requests: [expect.objectContaining({ method: 'POST', status: 200, body: promptBody('x') })],
    redirected: [],
  })
  expect(await control(emulator, 'GET', '/stats')).toMatchObject({ total: 1, maxActive: 1 })
  expect(await control(emulator, 'DELETE', '/requests')).toMatchObject({ total: 0 })
  expect(await control(emulator, 'GET', '/requests')).toEqual({ requests: [], redirected: [] })
})

test('the scenarios can be listed', async () => {
  await using emulator = await startEmulator()
  const listed = (await control(emulator, 'GET', '/scenarios')) as { name: string }[]
  expect(listed.map(({ name }) => name)).toEqual(Object.keys(SCENARIOS))
})

test.each([
  ['a wrong name', ['oops'], 'There is no scenario "oops".'],
  ['no script', 5, 'A script is an array or an object.'],
  ['a wrong key', { queues: [] }, 'A script has an array `queue` and a scenario `default`.'],
])('%s is a 400 that says so', async (_, body, error) => {
  await using emulator = await startEmulator()
  expect(await control(emulator, 'POST', '/script', body, 400)).toEqual({ error })
})

test('an unknown control is a 404', async () => {
  await using emulator = await startEmulator()
  expect(await control(emulator, 'GET', '/else', undefined, 404)).toHaveProperty('error')
})

async function control(
  emulator: Emulator,
  method: string,
  path: string,
  body?: unknown,
  status = 200,
): Promise<unknown> {
  const response = await fetch(emulator.controlUrl + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  expect(response.status).toBe(status)
  return response.json()
}

async function statuses(emulator: Emulator, count: number): Promise<number[]> {
  const seen: number[] = []
  for (let at = 0; at < count; at += 1) {
    const response = await post(emulator, promptBody('x'))
    await response.text()
    seen.push(response.status)
  }
  return seen
}
