import { inspect } from 'node:util'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { MODELS } from '@nanobanana/shared'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ProviderError } from '../../ports/image-provider.ts'
import { createGeminiProvider } from './gemini.ts'

const API_KEY = 'AIza-canary-0123456789-abcdefghij'

let emulator: Emulator
const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)
beforeAll(async () => {
  process.on('unhandledRejection', note)
  emulator = await startEmulator({ signatureBytes: 64 })
})
beforeEach(() => emulator.clearRequests())
afterAll(async () => {
  await emulator.close()
  process.off('unhandledRejection', note)
})

const providerOf = (options: Partial<Parameters<typeof createGeminiProvider>[0]> = {}) =>
  createGeminiProvider({
    apiKey: API_KEY,
    baseUrl: emulator.url,
    attemptTimeoutMs: 10_000,
    ...options,
  })
const requestOf = (prompt: string, signal = AbortSignal.timeout(20_000)) => ({
  model: MODELS[0]!,
  prompt,
  size: '1K' as const,
  signal,
})
const failure = (work: Promise<unknown>): Promise<ProviderError> =>
  work.then(
    () => expect.unreachable('this should have failed'),
    (error: unknown) => error as ProviderError,
  )

describe('the key', () => {
  test.each([301, 302, 303, 307, 308])('is not carried over a redirect of %i', async (status) => {
    const { code, message } = await failure(
      providerOf().generate(requestOf(`x [[redirect status=${status}]]`)),
    )
    expect(code).toMatch(/^upstream_/)
    expect(message).not.toContain(API_KEY)
    await emulator.idle()
    expect(emulator.redirected).toEqual([])
    expect(emulator.requests).toHaveLength(1)
  })

  test.each([
    ['refused', 'bad-key'],
    ['at a redirect', 'redirect'],
    ['at a broken answer', 'html'],
    ['at a reset', 'reset-mid-body'],
    ['at an error page', 'error-html'],
  ])('stands in no part of an error: %s', async (_, scenario) => {
    const error = await failure(providerOf().generate(requestOf(`x [[${scenario}]]`)))
    expect(inspect(error, { depth: 10 })).not.toContain('canary')
  })

  test.each([
    ['a line break', 'AIza-canary\nx-evil: 1'],
    ['letters no header takes', 'AIza-canary-ключ-🍌'],
    ['NUL', 'AIza-canary-\0-end'],
  ])('with %s makes an error that does not quote it', async (_, apiKey) => {
    const error = await failure(providerOf({ apiKey }).generate(requestOf('x')))
    expect(inspect(error, { depth: 10 })).not.toContain('canary')
    expect(emulator.requests).toEqual([])
  })

  test('cannot be left out: the SDK would look for credentials of this machine', () => {
    for (const apiKey of ['', ' ']) expect(() => providerOf({ apiKey })).toThrow(TypeError)
  })

  test('and the address are ours whatever GOOGLE_ variables say', async () => {
    for (const [name, value] of Object.entries({
      GOOGLE_API_KEY: 'another-key',
      GOOGLE_GENAI_USE_VERTEXAI: 'true',
      GOOGLE_CLOUD_PROJECT: 'somebody',
      GOOGLE_CLOUD_LOCATION: 'europe-west1',
      GOOGLE_GEMINI_BASE_URL: 'http://127.0.0.1:1',
      GOOGLE_VERTEX_BASE_URL: 'http://127.0.0.1:1',
    }))
      vi.stubEnv(name, value)
    try {
      await providerOf().generate(requestOf('x'))
    } finally {
      vi.unstubAllEnvs()
    }
    const [request] = emulator.requests
    expect(request?.path).toMatch(/^\/v1\/models\/gemini-nano-banana-2\.1:generateContent$/)
    expect(JSON.stringify(request?.headers)).not.toContain('another-key')
  })
})

describe('the end of a call', () => {
  test('by the caller’s signal is the signal’s reason, and hangs up', async () => {
    for (const scenario of ['silence', 'stall', 'slow-headers']) {
      const reason = new Error('the caller gave up')
      const controller = new AbortController()
      const work = providerOf().generate(requestOf(`x [[${scenario}]]`, controller.signal))
      await expect.poll(() => emulator.stats().active).toBe(1)
      controller.abort(reason)
      expect(await failure(work)).toBe(reason)
      await emulator.idle()
    }
  })

  test('by a signal that was aborted before is the reason, without a request', async () => {
    const reason = new Error('too late')
    expect(await failure(providerOf().generate(requestOf('x', AbortSignal.abort(reason))))).toBe(
      reason,
    )
    expect(emulator.requests).toEqual([])
  })

  test.each(['silence', 'stall', 'endless'])(
    'by our own deadline is upstream_timeout: %s',
    async (scenario) => {
      const start = performance.now()
      const hasty = providerOf({ attemptTimeoutMs: 300 })
      const { code } = await failure(hasty.generate(requestOf(`x [[${scenario}]]`)))
      expect(code).toBe('upstream_timeout')
      expect(performance.now() - start).toBeLessThan(5000)
      await emulator.idle()
    },
  )

  test.each(['reset-before-headers', 'fin-before-headers', 'reset-mid-body', 'fin-mid-body'])(
    'by a broken connection is a retryable error: %s',
    async (scenario) => {
      const { code } = await failure(providerOf().generate(requestOf(`x [[${scenario}]]`)))
      expect(['upstream_unavailable', 'upstream_timeout']).toContain(code)
    },
  )

  test('where nobody listens is upstream_unavailable', async () => {
    const deaf = providerOf({ baseUrl: 'http://127.0.0.1:1' })
    expect((await failure(deaf.generate(requestOf('x')))).code).toBe('upstream_unavailable')
  })
})

test('no rejection went unhandled, and no listener stayed behind', async () => {
  const { signal } = new AbortController()
  const add = vi.spyOn(signal, 'addEventListener')
  const remove = vi.spyOn(signal, 'removeEventListener')
  for (let n = 0; n < 3; n++) await providerOf().generate(requestOf('x', signal))
  expect(add.mock.calls.length - remove.mock.calls.length).toBeLessThanOrEqual(0)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(unhandled).toEqual([])
})
