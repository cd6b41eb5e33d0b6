import type { Model } from '@nanobanana/shared'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type ImageRequest,
  type ImageResult,
  ProviderError,
  type ProviderErrorCode,
  type TokenUsage,
} from '../../ports/image-provider.ts'
import { AttemptError, type AttemptErrorOptions } from './attempt-error.ts'
import { type RepeatOptions, withRepeats } from './repeat.ts'

const tokens = (imageOutputTokens: number): TokenUsage => ({
  inputTokens: 1,
  textOutputTokens: 2,
  imageOutputTokens,
})
const PICTURE: ImageResult = { bytes: new Uint8Array(1), text: null, usage: tokens(1120) }
const CANARY = 'CANARY of the prompt'

const fault = (options: AttemptErrorOptions, code: ProviderErrorCode = 'upstream_unavailable') =>
  new AttemptError(code, 'It failed.', options)

/** Plays the ends of the attempts in turn, the last for ever. */
function play(ends: readonly (Error | ImageResult)[], options: Partial<RepeatOptions> = {}) {
  const waits: number[] = []
  const lines: unknown[] = []
  let calls = 0
  const provider = withRepeats(
    {
      async generate() {
        const end = ends[Math.min(calls++, ends.length - 1)]!
        if (end instanceof Error) throw end
        return end
      },
    },
    {
      log: { warn: (...line: unknown[]) => void lines.push(line) },
      sleep: async (ms) => void waits.push(ms),
      ...options,
    },
  )
  const generate = (changes: Partial<ImageRequest> = {}) =>
    provider.generate({
      model: { id: 'a-model' } as Model,
      prompt: CANARY,
      size: '1K',
      signal: new AbortController().signal,
      ...changes,
    })
  const failure = (changes: Partial<ImageRequest> = {}): Promise<ProviderError> =>
    generate(changes).then(
      () => expect.unreachable('this should have failed'),
      (error: unknown) => error as ProviderError,
    )
  return { generate, failure, waits, lines, calls: () => calls }
}

describe('a failed call', () => {
  test.each([
    [[2], 3],
    [[1], 2],
    [[0], 1],
    [[2, 1], 2],
    [[1, 2], 2],
    [[2, 0], 2],
    [[2, 2, 1], 3],
    [[5], 3],
  ])('whose failures leave %j repeats is made %i times', async (allowances, calls) => {
    const played = play(allowances.map((repeats) => fault({ repeats })))
    expect((await played.failure()).code).toBe('upstream_unavailable')
    expect(played.calls()).toBe(calls)
  })

  test('never exceeds the smallest allowance, nor two repeats', async () => {
    const allowance = fc.integer({ min: 0, max: 3 })
    await fc.assert(
      fc.asyncProperty(fc.array(allowance, { minLength: 4, maxLength: 4 }), async (all) => {
        const played = play(all.map((repeats) => fault({ repeats })))
        await played.failure()
        const calls = played.calls()
        expect(calls).toBeLessThanOrEqual(3)
        // Every failure but the last allowed at least as many repeats as there were.
        expect(Math.min(...all.slice(0, calls - 1), 2)).toBeGreaterThanOrEqual(calls - 1)
        expect(Math.min(...all.slice(0, calls), 2)).toBeLessThanOrEqual(calls - 1)
      }),
    )
  })

  test('that succeeds in the end is a success, with what the failures may cost', async () => {
    const faults = [fault({ repeats: 2, wasted: tokens(10) }), fault({ repeats: 2 })]
    const played = play([...faults, PICTURE])
    expect(await played.generate()).toEqual({ ...PICTURE, wasted: tokens(10) })
    expect(played.calls()).toBe(3)
  })

  test('ends as the last failure, with the tokens of all', async () => {
    const cause = new Error('why')
    const played = play([
      fault({ repeats: 2, wasted: tokens(10) }),
      fault({ repeats: 2, wasted: tokens(5), retryAfterMs: 7, cause }, 'upstream_timeout'),
      fault({ retryAfterMs: 7, wasted: tokens(5), cause }, 'upstream_timeout'),
    ])
    const error = await played.failure()
    expect(error).toMatchObject({ code: 'upstream_timeout', retryAfterMs: 7, cause })
    expect(error.wasted).toEqual({ inputTokens: 3, textOutputTokens: 6, imageOutputTokens: 20 })
  })

  test('with an error that is of no attempt is not made again', async () => {
    for (const error of [new ProviderError('upstream_unavailable', 'x'), new TypeError('x')]) {
      const played = play([error])
      expect((await played.failure()).message).toBe('x')
      expect(played.calls()).toBe(1)
    }
  })

  test('is noted by code and attempt, without the prompt', async () => {
    const played = play([fault({ repeats: 1 })])
    await played.failure()
    expect(played.lines).toHaveLength(1)
    const note = { code: 'upstream_unavailable', attempt: 1, model: 'a-model' }
    expect(played.lines).toMatchObject([[note, expect.any(String)]])
    expect(JSON.stringify(played.lines)).not.toContain('CANARY')
  })
})

describe('the wait before a repeat', () => {
  test.each([
    [0, [500, 500]],
    [0.5, [1250, 4250]],
    [1, [2000, 8000]],
  ])('is jittered: %f gives %j ms', async (random, waits) => {
    const played = play([fault({ repeats: 2 })], { random: () => random })
    await played.failure()
    expect(played.waits).toEqual(waits)
  })

  test('is exactly what the provider asked for, and nothing where nothing is to be waited for', async () => {
    const played = play([fault({ repeats: 2, pauseMs: 9876 }), fault({ repeats: 2, pauseMs: 0 })])
    await played.failure()
    expect(played.waits).toEqual([9876])
    expect(played.calls()).toBe(3)
  })

  test('longer than ten seconds is left to the caller', async () => {
    expect(await callsWith(10_000)).toBe(2)
    expect(await callsWith(10_001)).toBe(1)
    async function callsWith(pauseMs: number) {
      const played = play([fault({ repeats: 1, pauseMs, retryAfterMs: pauseMs })])
      expect((await played.failure()).retryAfterMs).toBe(pauseMs)
      return played.calls()
    }
  })

  test('that would outlast the deadline is not begun', async () => {
    const played = play([fault({ repeats: 1, pauseMs: 5000 })])
    expect((await played.failure({ deadline: performance.now() + 4999 })).code).toBe(
      'upstream_unavailable',
    )
    expect(played.calls()).toBe(1)
    await played.failure({ deadline: performance.now() + 60_000 })
    expect(played.calls()).toBe(3)
  })

  test('ends with an abort at once, by its reason, and leaves no timer', async () => {
    const played = play([fault({ repeats: 2, pauseMs: 10_000 })], { sleep: undefined })
    const controller = new AbortController()
    const reason = new Error('the caller gave up')
    const before = timers()
    const ended = played.failure({ signal: controller.signal })
    await expect.poll(() => played.lines.length).toBe(1)
    expect(timers()).toBeGreaterThan(before)
    controller.abort(reason)
    expect(await ended).toBe(reason)
    expect(timers()).toBe(before)
    expect(played.calls()).toBe(1)
  })

  test('that runs into the end of time ends with the failure at hand', async () => {
    const played = play([fault({ repeats: 2, pauseMs: 10_000, wasted: tokens(7) })], {
      sleep: undefined,
    })
    const error = await played.failure({ signal: AbortSignal.timeout(20) })
    expect(error).toMatchObject({ code: 'upstream_unavailable', wasted: tokens(7) })
  })

  test('is not begun under a signal that has ended', async () => {
    const played = play([fault({ repeats: 2 })])
    await played.failure({ signal: AbortSignal.abort(new DOMException('x', 'TimeoutError')) })
    expect(played.calls()).toBe(1)
  })
})

const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
