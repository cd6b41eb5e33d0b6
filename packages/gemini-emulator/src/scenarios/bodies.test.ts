import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { startEmulator } from '../emulator.ts'
import type { Emulator } from '../emulator.ts'
import { maskKey } from '../request-log.ts'
import type { ScenarioInput } from '../scenario.ts'
import { generate, partsOf, pictureOf, post, promptBody, rejection } from '../test-client.ts'

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 8 })
})
beforeEach(() => {
  emulator.clearScript()
  emulator.clearRequests()
})
afterAll(() => emulator.close())

describe('through the SDK', () => {
  test.each<[ScenarioInput, string, string]>([
    ['error-html', 'ApiError', '"code":502'],
    [{ name: 'error-html', status: 503 }, 'ApiError', '"status":"Service Unavailable"'],
    ['error-bad-json', 'SyntaxError', ''],
    ['html', 'SyntaxError', ''],
    ['empty-body', 'SyntaxError', ''],
    ['truncated', 'SyntaxError', ''],
    ['no-content', 'SyntaxError', ''],
    ['null-body', 'TypeError', 'Cannot set properties of null'],
    ['not-modified', 'Error', ''],
    ['reset-before-headers', 'TypeError', 'fetch failed'],
    ['fin-before-headers', 'TypeError', 'fetch failed'],
    ['reset-mid-body', 'TypeError', 'terminated'],
    ['fin-mid-body', 'TypeError', 'terminated'],
  ])('%o is a %s', async (scenario, name, message) => {
    emulator.script([scenario])
    const error = await rejection(generate(emulator))
    expect(error?.name).toBe(name)
    expect(error?.message).toContain(message)
    await emulator.idle()
    expect(emulator.requests[0]?.aborted).toBe(false)
  })

  test.each(['ok-with-error', 'empty-object'] as const)(
    '%s passes as an empty answer',
    async (name) => {
      emulator.script([name])
      expect((await generate(emulator)).candidates).toBeUndefined()
    },
  )

  test.each([
    ['silence', 0],
    ['slow-headers', 0],
    ['slow-body', 200],
    ['stall', 200],
    ['endless', 200],
  ] as const)(
    '%s runs into the timeout of the client, which shows as an abort',
    async (name, status) => {
      emulator.script([name])
      const error = await rejection(
        generate(emulator, 'x', { config: { httpOptions: { timeout: 150 } } }),
      )
      expect(error?.name).toBe('AbortError')
      await emulator.idle()
      const [entry] = emulator.requests
      expect(entry).toMatchObject({ aborted: true, scenario: name })
      expect(entry?.status ?? 0).toBe(status)
      expect((entry?.closedAt ?? Infinity) - (entry?.startedAt ?? 0)).toBeLessThan(600)
    },
  )

  test('raw is whatever the script says', async () => {
    emulator.script([
      { name: 'raw', status: 418, contentType: 'text/plain', body: 'short and stout' },
    ])
    const error = await rejection(generate(emulator))
    expect(error?.message).toContain('short and stout')
  })

  test('slow-headers and slow-body take their time and succeed', async () => {
    emulator.script([
      { name: 'slow-headers', delayMs: 60 },
      { name: 'slow-body', pauseMs: 6 },
    ])
    expect(await timed(() => generate(emulator))).toBeGreaterThanOrEqual(59)
    expect(await timed(() => generate(emulator))).toBeGreaterThanOrEqual(50)
  })
})

describe('a redirect', () => {
  test('is followed by the SDK, which hands key and body to the other origin', async () => {
    emulator.script(['redirect'])
    await generate(emulator, 'a secret banana')
    expect(emulator.redirected).toHaveLength(1)
    const [arrived] = emulator.redirected
    expect(arrived?.headers['x-goog-api-key']).toBe(maskKey('x'))
    expect(JSON.stringify(arrived?.body)).toContain('a secret banana')
  })

  test('leaves the other origin alone when the client refuses it', async () => {
    emulator.script([
      'redirect',
      { name: 'redirect', location: 'http://127.0.0.1:1/x', status: 308 },
    ])
    const error = await rejection(post(emulator, promptBody('x'), undefined, { redirect: 'error' }))
    expect(error?.message).toBe('fetch failed')
    expect(emulator.redirected).toHaveLength(0)
    const manual = await post(emulator, promptBody('x'), undefined, { redirect: 'manual' })
    expect(manual.status).toBe(308)
    expect(manual.headers.get('location')).toBe('http://127.0.0.1:1/x')
  })
})

describe('an over-size answer', () => {
  test('is a good answer with a huge signature', async () => {
    emulator.script([{ name: 'oversize', bytes: 30_000_000 }])
    const parts = partsOf(await generate(emulator))
    expect(parts[1]?.thoughtSignature).toHaveLength(30_000_000)
    expect((await pictureOf(parts[1])).pixels).toBe('1024x1024')
  })

  test('is never held in memory', async () => {
    const before = process.memoryUsage()
    emulator.script([{ name: 'oversize', bytes: 1_000_000_000 }])
    const response = await post(emulator, promptBody('x'))
    let received = 0
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      received += chunk.length
      if (received > 50_000_000) break
    }
    await emulator.idle()
    const after = process.memoryUsage()
    expect(after.heapUsed - before.heapUsed).toBeLessThan(60_000_000)
    expect(emulator.requests[0]?.aborted).toBe(true)
  })
})

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
