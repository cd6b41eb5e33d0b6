import type { Model } from '@nanobanana/shared'
import { describe, expect, test } from 'vitest'
import {
  type ImageRequest,
  type ImageResult,
  ProviderError,
  type ProviderErrorCode,
} from '../../ports/image-provider.ts'
import { withBreaker } from './breaker.ts'

const requestFor = (id: string): ImageRequest => ({
  model: { id } as Model,
  prompt: 'x',
  size: '1K',
  signal: new AbortController().signal,
})
const PICTURE = { bytes: new Uint8Array(1) } as ImageResult

function create() {
  let ms = 0
  let end: Error | undefined
  let calls = 0
  const lines: string[] = []
  const provider = withBreaker(
    {
      async generate() {
        calls++
        if (end !== undefined) throw end
        return PICTURE
      },
    },
    { now: () => ms, log: { warn: (_: unknown, line?: string) => void lines.push(line ?? '') } },
  )
  return {
    lines,
    calls: () => calls,
    pass: (time: number) => (ms += time),
    endWith: (error: Error | undefined) => (end = error),
    call: (model = 'a') =>
      provider.generate(requestFor(model)).then(
        () => undefined,
        (error: unknown) => error as ProviderError,
      ),
    async many(count: number, error: Error | undefined) {
      end = error
      for (let n = 0; n < count; n++) await this.call()
    },
  }
}
const failure = (code: ProviderErrorCode) => new ProviderError(code, 'It failed.')

describe('the breaker of a provider', () => {
  test.each(['upstream_unavailable', 'upstream_timeout'] as const)(
    'opens after twenty calls that end with %s, and says when to come back',
    async (code) => {
      const circuit = create()
      await circuit.many(20, failure(code))
      circuit.pass(2500)
      expect(await circuit.call()).toMatchObject({
        code: 'upstream_unavailable',
        retryAfterMs: 7500,
        wasted: undefined,
      })
      expect(circuit.calls()).toBe(20)
      expect(circuit.lines).toEqual(["the provider's circuit breaker opened"])
    },
  )

  test.each([
    'content_blocked',
    'no_image',
    'upstream_failed',
    'upstream_invalid',
    'upstream_rate_limited',
  ] as const)('does not count %s, neither as a failure nor as a success', async (code) => {
    const circuit = create()
    await circuit.many(40, failure(code))
    await circuit.many(21, failure('upstream_unavailable'))
    expect(circuit.calls()).toBe(60)
    circuit.pass(10_000)
    await circuit.many(2, failure(code))
    expect(circuit.calls()).toBe(61)
  })

  test('learns nothing from what the caller ended, a probe least of all', async () => {
    const circuit = create()
    const givenUp = new Error('the caller gave up')
    await circuit.many(40, givenUp)
    await circuit.many(21, failure('upstream_timeout'))
    expect(circuit.calls()).toBe(60)
    circuit.pass(10_000)
    await circuit.many(2, givenUp)
    expect(circuit.calls()).toBe(61)
  })

  test('closes with the probe that succeeds', async () => {
    const circuit = create()
    await circuit.many(20, failure('upstream_timeout'))
    circuit.endWith(undefined)
    circuit.pass(10_000)
    for (let n = 0; n < 5; n++) expect(await circuit.call()).toBeUndefined()
    expect(circuit.lines.at(-1)).toBe("the provider's circuit breaker closed")
  })

  test('is of one model, others go on', async () => {
    const circuit = create()
    await circuit.many(20, failure('upstream_timeout'))
    circuit.endWith(undefined)
    expect(await circuit.call('a')).toBeDefined()
    expect(await circuit.call('b')).toBeUndefined()
  })
})
