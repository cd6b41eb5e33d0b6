import { createHash } from 'node:crypto'
import { createConnection } from 'node:net'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'

import { startEmulator } from './emulator.ts'
import { maskKey } from './request-log.ts'
import { createClient, generate, NANO_BANANA, post, promptBody, rejection } from './test-client.ts'

const SMALL = { signatureBytes: 8 }

describe('the request log', () => {
  test('shows the exact wire form of the SDK with the key masked', async () => {
    await using emulator = await startEmulator(SMALL)
    const imageConfig = { aspectRatio: '16:9', imageSize: '2K' }
    await createClient(emulator, { apiKey: 'a-secret-key' }).models.generateContent({
      model: NANO_BANANA,
      contents: 'a banana',
      config: { responseModalities: ['TEXT', 'IMAGE'], imageConfig },
    })
    await emulator.idle()
    const [entry] = emulator.requests
    expect(entry).toMatchObject({
      id: 1,
      method: 'POST',
      path: '/v1/models/gemini-nano-banana-2.1:generateContent',
      status: 200,
      scenario: 'success',
      aborted: false,
    })
    expect(entry?.body).toEqual(
      promptBody('a banana', { responseModalities: ['TEXT', 'IMAGE'], imageConfig }),
    )
    expect(entry?.headers['x-goog-api-key']).toBe(maskKey('a-secret-key'))
    expect(JSON.stringify(emulator.requests)).not.toContain('a-secret-key')
    expect(entry?.closedAt).toBeGreaterThanOrEqual(entry?.startedAt ?? Infinity)
  })

  test('replaces base64 by the length and hash of the bytes', async () => {
    await using emulator = await startEmulator(SMALL)
    const create = { width: 8, height: 8, channels: 3, background: 'red' } as const
    const bytes = await sharp({ create }).png().toBuffer()
    const inlineData = { mimeType: 'image/png', data: bytes.toString('base64') }
    await generate(emulator, 'x', { contents: [{ role: 'user', parts: [{ inlineData }] }] })
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    expect(emulator.requests[0]?.body).toMatchObject({
      contents: [{ parts: [{ inlineData: { data: { bytes: bytes.length, sha256 } } }] }],
    })
  })

  test('masks a key in the query', async () => {
    await using emulator = await startEmulator()
    await fetch(`${emulator.url}/v1/models?pageSize=1&key=hush`)
    expect(emulator.requests[0]?.path).toBe(`/v1/models?pageSize=1&key=${maskKey('hush')}`)
  })

  test('keeps the newest requests only', async () => {
    await using emulator = await startEmulator({ logLimit: 2 })
    for (let count = 0; count < 4; count += 1) await fetch(`${emulator.url}/v1/models`)
    expect(emulator.requests.map((entry) => entry.id)).toEqual([3, 4])
    expect(emulator.stats().total).toBe(4)
  })

  test('keeps a broken body as text', async () => {
    await using emulator = await startEmulator()
    await post(emulator, undefined, undefined, { body: '{"contents":' })
    expect(emulator.requests[0]?.body).toBe('{"contents":')
  })

  test('tells a caller that went away from one that was served', async () => {
    await using emulator = await startEmulator({ ...SMALL, scenario: 'silence' })
    const abort = new AbortController()
    const call = rejection(generate(emulator, 'x', { config: { abortSignal: abort.signal } }))
    await expect.poll(() => emulator.stats().active).toBe(1)
    expect(emulator.requests[0]).toMatchObject({ aborted: false })
    expect(emulator.requests[0]).not.toHaveProperty('closedAt')
    abort.abort()
    expect((await call)?.name).toBe('AbortError')
    await emulator.idle()
    expect(emulator.requests[0]).toMatchObject({ aborted: true, closedAt: expect.any(Number) })
    expect(emulator.stats()).toMatchObject({ active: 0, aborted: 1 })
  })

  test('notices a caller that goes away while it still sends', async () => {
    await using emulator = await startEmulator()
    const socket = createConnection(Number(new URL(emulator.url).port), '127.0.0.1')
    const path = `/v1/models/${NANO_BANANA}:generateContent`
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{"con`)
    await expect.poll(() => emulator.stats().active).toBe(1)
    socket.destroy()
    await emulator.idle()
    expect(emulator.requests[0]?.aborted).toBe(true)
  })
})

describe('the counters', () => {
  test('know how many requests were under way at once', async () => {
    await using emulator = await startEmulator({ ...SMALL, scenario: { delayMs: 50 } })
    await Promise.all(Array.from({ length: 12 }, () => generate(emulator)))
    await emulator.idle()
    expect(emulator.stats()).toEqual({ active: 0, maxActive: 12, total: 12, aborted: 0, queued: 0 })
    emulator.clearRequests()
    expect(emulator.stats()).toMatchObject({ maxActive: 0, total: 0 })
    expect(emulator.requests).toEqual([])
  })
})

describe('the script', () => {
  test('serves one scenario per request, then the default again', async () => {
    await using emulator = await startEmulator(SMALL)
    emulator.script(['overloaded', { name: 'internal' }])
    const statuses: number[] = []
    for (let count = 0; count < 3; count += 1) {
      statuses.push((await post(emulator, promptBody('x'))).status)
    }
    expect(statuses).toEqual([503, 500, 200])
  })

  test('is not used up by refused requests or by other methods', async () => {
    await using emulator = await startEmulator(SMALL)
    emulator.script(['overloaded'])
    await post(emulator, { contents: [] })
    await createClient(emulator).models.get({ model: NANO_BANANA })
    expect(emulator.stats().queued).toBe(1)
  })

  test('has a sticky default that can be taken back', async () => {
    await using emulator = await startEmulator(SMALL)
    emulator.setDefault('overloaded')
    expect((await post(emulator, promptBody('x'))).status).toBe(503)
    expect((await post(emulator, promptBody('x'))).status).toBe(503)
    emulator.setDefault()
    expect((await post(emulator, promptBody('x'))).status).toBe(200)
  })

  test('gives way to the marker in a prompt', async () => {
    await using emulator = await startEmulator(SMALL)
    emulator.script(['internal'])
    const marked = await post(emulator, promptBody('a banana [[error status=418 code=TEAPOT]]'))
    expect(marked.status).toBe(418)
    expect(emulator.stats().queued).toBe(1)
  })

  test('shows a marker with a wrong setting as a fault of the test', async () => {
    await using emulator = await startEmulator(SMALL)
    const response = await post(emulator, promptBody('[[slow-body pause=5]]'))
    expect(await response.text()).toContain('A scenario has no setting')
  })

  test('adds response headers to any answer', async () => {
    await using emulator = await startEmulator(SMALL)
    emulator.script([{ name: 'quota-bare', headers: { 'retry-after': '7' } }])
    const response = await post(emulator, promptBody('x'))
    expect(response.headers.get('retry-after')).toBe('7')
  })
})

describe('closing', () => {
  test('ends requests under way and can be repeated', async () => {
    const emulator = await startEmulator({ scenario: 'silence' })
    const call = rejection(generate(emulator))
    await expect.poll(() => emulator.stats().active).toBe(1)
    await emulator.close()
    expect((await call)?.message).toBe('fetch failed')
    await emulator.close()
    expect((await rejection(fetch(emulator.url)))?.message).toBe('fetch failed')
  })

  test('a taken port is an error', async () => {
    await using emulator = await startEmulator()
    const port = Number(new URL(emulator.url).port)
    expect(await rejection(startEmulator({ port }))).toMatchObject({ code: 'EADDRINUSE' })
  })
})
