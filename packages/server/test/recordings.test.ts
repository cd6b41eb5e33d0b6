import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLiveProvider } from '../src/adapters/image-provider/live.ts'
import type { ImageProvider } from '../src/ports/image-provider.ts'
import { createTestApp, type TestApp } from './harness.ts'
import { expand } from './recordings/expand.ts'
import { outcomeOf } from './recordings/outcome.ts'
import { type RecordedAnswer, readRecordings } from './recordings/read.ts'
import { type Replay, startReplay } from './recordings/replay.ts'

/** A folder of answers that were recorded at Google; no part of this repository. */
const FOLDER = process.env['GEMINI_RECORDINGS']
const recordings = FOLDER === undefined ? [] : await readRecordings(FOLDER)

describe.skipIf(FOLDER === undefined)(
  FOLDER === undefined ? 'recordings: GEMINI_RECORDINGS names no folder' : 'recordings',
  () => {
    let replay: Replay
    let app: TestApp
    let key: string
    beforeAll(async () => {
      replay = await startReplay()
      app = await createTestApp({ providers: { live: providerOf(replay.url) } })
      key = (await app.createKey(await app.register(), { mode: 'live' })).key
    })
    afterAll(async () => {
      await app[Symbol.asyncDispose]()
      await replay[Symbol.asyncDispose]()
    })

    it('are there', () => {
      expect(recordings).not.toEqual([])
    })

    it.each(recordings)('$name ends as documented', async (recorded) => {
      const answer = { ...recorded, body: (await expand(recorded.body)) as RecordedAnswer['body'] }
      const { status, code, mimeType, calls } = outcomeOf(answer)
      replay.play(answer)
      const made = await app.request('POST', '/v1/generate', {
        token: key,
        body: { prompt: 'a banana astronaut' },
      })
      expect([made.status, made.json.error?.code], made.text).toEqual([status, code])
      expect(replay.calls).toHaveLength(calls)
      expect(replay.calls[0]).toMatch(/^POST \/v1\/models\/[\w.-]+:generateContent$/)
      if (code === undefined) expect(made.json.images).toMatchObject([{ mime_type: mimeType }])
      else await expectFailure(made, answer)
    })

    async function expectFailure(
      made: Awaited<ReturnType<TestApp['request']>>,
      answer: RecordedAnswer,
    ): Promise<void> {
      expect(made.headers['x-should-retry']).toBe(String(made.status === 503))
      const { retryAfterSeconds = 0 } = outcomeOf(answer)
      const waits = Number(made.headers['retry-after'] ?? 0)
      expect(waits >= Math.max(1, retryAfterSeconds)).toBe(made.status === 503)
      const said = (answer.body['error'] as { message?: string } | undefined)?.message?.trim()
      if (said !== undefined) expect(made.text).not.toContain(JSON.stringify(said).slice(1, 40))
      const path = `/v1/generations/${made.headers['x-generation-id']}`
      const generation = (await app.request('GET', path, { token: key })).json
      expect(generation).toMatchObject({ status: 'failed', error: { code: made.json.error.code } })
      expect(Number(generation.usage.cost_usd)).toBe(0)
    }
  },
)

/** The live provider, but for its pauses; each call has a circuit breaker of its own. */
const providerOf = (baseUrl: string): ImageProvider => ({
  generate: (request) =>
    createLiveProvider({
      apiKey: 'a-key-of-tests',
      baseUrl,
      attemptTimeoutMs: 10_000,
      log: pino({ level: 'silent' }),
      sleep: async () => {},
    }).generate(request),
})
