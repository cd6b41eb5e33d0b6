import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type Emulator, type ScenarioInput, startEmulator } from '@nanobanana/gemini-emulator'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Account,
  createTestApp,
  type TestApp,
  type TestResponse,
} from '../../../test/harness.ts'
import { createLiveProvider, type LiveOptions } from '../../adapters/image-provider/live.ts'
import { parseId } from '../../kernel/ids.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'

const GEMINI_API_KEY = 'AIza-canary-of-the-upstream-key-000002'

let emulator: Emulator
let app: TestApp
let user: Account
let key: string
let live: ImageProvider
const waits: number[] = []
const sockets = new Set<Socket>()
const unhandled: unknown[] = []
const noteSocket = (message: unknown) => void sockets.add((message as { socket: Socket }).socket)
const noteRejection = (reason: unknown) => void unhandled.push(reason)
/** Milliseconds by which the breaker's clock is ahead. */
let ahead = 0

/** The real provider as the service builds it, but for the time it waits. */
const providerOf = (options: Partial<LiveOptions> = {}) =>
  createLiveProvider({
    apiKey: GEMINI_API_KEY,
    baseUrl: emulator.url,
    attemptTimeoutMs: 10_000,
    log: app.service.deps.log,
    sleep: async (ms) => void waits.push(ms),
    now: () => performance.now() + ahead,
    ...options,
  })
let usual: ImageProvider
let hasty: ImageProvider

beforeAll(async () => {
  process.on('unhandledRejection', noteRejection)
  emulator = await startEmulator({ signatureBytes: 64 })
  subscribe('net.client.socket', noteSocket)
  app = await createTestApp({
    env: { GEMINI_API_KEY },
    providers: { live: { generate: (request) => live.generate(request) } },
  })
  usual = providerOf()
  hasty = providerOf({ attemptTimeoutMs: 300 })
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
})
beforeEach(() => {
  live = usual
  emulator.clearScript()
  emulator.clearRequests()
  waits.length = 0
  app.logs.length = 0
  // Each test finds the breaker as if nothing had been called for a while.
  ahead += 60_000
})
afterEach(expectTidy)
afterAll(async () => {
  unsubscribe('net.client.socket', noteSocket)
  await app[Symbol.asyncDispose]()
  await emulator.close()
  process.off('unhandledRejection', noteRejection)
})

async function expectTidy(): Promise<void> {
  await emulator.idle()
  // One idle connection for each of the four providers; a leak would add up.
  await expect.poll(() => openSockets().length).toBeLessThanOrEqual(4)
  expect(JSON.stringify(app.logs)).not.toContain('canary')
}
const openSockets = () =>
  [...sockets].filter(
    (socket) => !socket.destroyed && String(socket.remotePort) === new URL(emulator.url).port,
  )
const generate = (body: object = {}, on = app) =>
  on.request('POST', '/v1/generate', { token: key, body: { prompt: 'a banana', ...body } })
const read = async (path: string) => (await app.request('GET', path, { token: key })).json
async function spent(): Promise<number> {
  const { json } = await app.request('GET', '/v1/auth/me', { token: user.token })
  expect(json.spent_this_month_usd).toBeTypeOf('number')
  return json.spent_this_month_usd
}
const alarms = () => app.logs.filter(({ level }) => level === 50)

/** Plays a scenario for every call that is not scripted. */
async function failureOf(scenario: ScenarioInput): Promise<TestResponse> {
  emulator.setDefault(scenario)
  const before = await spent()
  const answer = await generate()
  expect(await spent()).toBe(before)
  return answer
}

interface Expected {
  readonly status: number
  readonly code: string
  readonly calls: number
  /** Whether we book a cost of our own. */
  readonly billed: boolean
}

async function expectFailure(answer: TestResponse, expected: Expected): Promise<void> {
  const { status, code, calls, billed } = expected
  expect(answer).toMatchObject({ status, json: { error: { code } } })
  expect(answer.headers['x-should-retry']).toBe(String(status === 503))
  expect(Number(answer.headers['retry-after'] ?? 0) > 0).toBe(status === 503)
  const id = String(answer.headers['x-generation-id'])
  expect(await read(`/v1/generations/${id}`)).toMatchObject({
    status: 'failed',
    error: { code },
    images: [],
    usage: { cost_usd: 0 },
  })
  const row = await app.database.handle.db
    .selectFrom('generations')
    .select(['cost_micros', 'upstream_cost_micros'])
    .where('id', '=', parseId('gen', id)!)
    .executeTakeFirstOrThrow()
  expect(row.cost_micros).toBe(0)
  expect(row.upstream_cost_micros > 0).toBe(billed)
  await emulator.idle()
  expect(emulator.requests).toHaveLength(calls)
  expect(emulator.stats().active).toBe(0)
}

const raw = (body: string, more: object = {}) => ({ name: 'raw', body, ...more }) as const
const errorBody = (code: unknown, message = 'x') =>
  raw(JSON.stringify({ error: { code, message } }))
const candidate = (value: object | null) => raw(JSON.stringify({ candidates: [value] }))

describe('a refusal is 422 content_blocked, asked once, its tokens ours', () => {
  const expected = { status: 422, code: 'content_blocked', calls: 1, billed: true }

  test.each([
    'PROHIBITED_CONTENT',
    'SAFETY',
    'BLOCKLIST',
    'IMAGE_SAFETY',
    'OTHER',
    'BLOCKED_REASON_UNSPECIFIED',
    'A_NEW_ONE',
  ])('of a prompt by %s', async (blockReason) => {
    const answer = await failureOf({
      name: 'prompt-blocked',
      blockReason,
      message: 'Not this one.',
    })
    expect(answer.json.error.message).toMatch(new RegExp(`${blockReason}.*Not this one\\.`))
    await expectFailure(answer, expected)
  })

  test('of a prompt without a reason', async () => {
    await expectFailure(await failureOf(raw('{"promptFeedback":{"safetyRatings":[]}}')), expected)
  })

  test.each([
    'SAFETY',
    'IMAGE_SAFETY',
    'PROHIBITED_CONTENT',
    'IMAGE_PROHIBITED_CONTENT',
    'BLOCKLIST',
    'SPII',
    'RECITATION',
    'IMAGE_RECITATION',
  ])('of a picture by %s', async (finishReason) => {
    const answer = await failureOf({ name: 'refused', finishReason })
    expect(answer.json.error.message).toContain(finishReason)
    await expectFailure(answer, expected)
  })

  test.each<ScenarioInput>([
    { name: 'refused', content: 'null-parts' },
    { name: 'refused', content: 'absent' },
    { name: 'refused', content: 'empty' },
    'refused-silent',
    'refused-safety',
  ])('in the form %j', async (scenario) => {
    await expectFailure(await failureOf(scenario), expected)
  })
})

describe('an answer without a picture is 422 no_image after one free repeat', () => {
  const expected = { status: 422, code: 'no_image', calls: 2, billed: true }

  test.each<[ScenarioInput, string]>([
    ['no-image', 'NO_IMAGE'],
    ['max-tokens', 'MAX_TOKENS'],
    ['text-only', 'it is yellow, bent and ripe'],
    ['unknown-finish-reason', 'IMAGE_TOO_BEAUTIFUL'],
    ['continuation', 'CONTINUATION'],
    ['empty-data', 'Here is the picture'],
    ['file-data', 'Here is the picture'],
    [{ name: 'no-image', content: 'null-parts' }, 'NO_IMAGE'],
    [{ name: 'no-image', finishReason: 'OTHER' }, 'OTHER'],
    [{ name: 'no-image', finishReason: 'IMAGE_OTHER' }, 'IMAGE_OTHER'],
    [{ name: 'no-image', finishReason: 'LANGUAGE' }, 'LANGUAGE'],
    [{ name: 'no-image', finishReason: 'MALFORMED_RESPONSE' }, 'MALFORMED_RESPONSE'],
    [{ name: 'no-image', finishReason: 'STOP' }, 'STOP'],
    [candidate({}), 'none'],
    [candidate(null), 'none'],
  ])('%j', async (scenario, words) => {
    const answer = await failureOf(scenario)
    expect(answer.json.error.message).toContain(words)
    await expectFailure(answer, expected)
    expect(waits).toEqual([])
  })
})

describe('a useless answer is 424 upstream_invalid, asked once, perhaps billed', () => {
  test.each<ScenarioInput>([
    'truncated',
    'html',
    'empty-object',
    'null-body',
    'empty-body',
    'no-content',
    'no-candidates',
    'bad-base64',
    'not-an-image',
    'corrupt-image',
    raw('[]'),
    raw('"x"'),
    raw('{"candidates":[]}'),
    raw('{"candidates":{}}'),
    raw('{"candidates":[],"error":"as a text"}'),
    { name: 'oversize', bytes: 100_000_000 },
  ])('%j', async (scenario) => {
    const expected = { status: 424, code: 'upstream_invalid', calls: 1, billed: true }
    await expectFailure(await failureOf(scenario), expected)
  })

  test.each<ScenarioInput>([
    'not-modified',
    'redirect',
    { name: 'redirect', status: 302, location: 'http://127.0.0.1:1/' },
  ])('but %j is no answer, so it cost nothing', async (scenario) => {
    const expected = { status: 424, code: 'upstream_invalid', calls: 1, billed: false }
    await expectFailure(await failureOf(scenario), expected)
    expect(emulator.redirected).toEqual([])
  })
})

describe('an error of the provider, in words of our own', () => {
  const failed = [424, 'upstream_failed', 1] as const
  const limited = [503, 'upstream_rate_limited', 3] as const
  const unavailable = [503, 'upstream_unavailable', 3] as const
  const late = [503, 'upstream_timeout', 2] as const

  test.each<[ScenarioInput, readonly [number, string, number]]>([
    ['invalid-argument', failed],
    ['invalid-image', failed],
    ['unknown-field', failed],
    ['bad-aspect-ratio', failed],
    ['aspect-not-enabled', failed],
    ['thinking-level', failed],
    ['entity-not-found', failed],
    [{ name: 'error', status: 418 }, failed],
    [{ name: 'error-html', status: 404 }, failed],
    ['quota-bare', limited],
    [{ name: 'quota-per-minute', retryDelay: '2s' }, limited],
    ['internal', unavailable],
    ['overloaded', unavailable],
    [{ name: 'error', status: 502 }, unavailable],
    ['error-html', unavailable],
    [{ name: 'error-html', status: 503 }, unavailable],
    ['error-bad-json', unavailable],
    ['deadline-expired', late],
    ['gateway-timeout', late],
    [{ name: 'error-html', status: 504 }, late],
    ['ok-with-error', unavailable],
    [errorBody(400), failed],
    [errorBody(429), limited],
    [errorBody(500), unavailable],
    [errorBody(504), late],
    [errorBody(503, 'Deadline expired before operation could complete.'), late],
    [errorBody(7), unavailable],
    [errorBody('x'), unavailable],
  ])('%j is %j', async (scenario, [status, code, calls]) => {
    const answer = await failureOf(scenario)
    expect(answer.json.error.message).not.toMatch(/google|gemini|api key|quota exceeded|[{}"<]/i)
    await expectFailure(answer, { status, code, calls, billed: false })
    expect(waits).toHaveLength(calls - 1)
    expect(alarms()).toEqual([])
  })

  test.each<[ScenarioInput, RegExp]>([
    ['bad-key', /API key/],
    ['key-not-found', /API key/],
    ['key-expired', /API key/],
    [
      { name: 'error', status: 400, message: 'API key expired. Please renew the API key.' },
      /API key/,
    ],
    [{ name: 'error', status: 401, code: 'UNAUTHENTICATED' }, /API key/],
    ['permission-denied', /permission/],
    ['region-blocked', /region/],
    ['model-not-found', /model/],
    ['quota-zero', /quota/],
    ['quota-per-day', /quota/],
  ])('%j is for the operator to mend', async (scenario, words) => {
    const answer = await failureOf(scenario)
    const expected = { status: 424, code: 'upstream_failed', calls: 1, billed: false }
    await expectFailure(answer, expected)
    expect(alarms()).toMatchObject([{ msg: expect.stringMatching(words) }])
  })

  test('that asks to wait longer than we do is passed on with the time', async () => {
    const answer = await failureOf('quota-per-minute')
    expect(answer.headers['retry-after']).toBe('35')
    const expected = { status: 503, code: 'upstream_rate_limited', calls: 1, billed: false }
    await expectFailure(answer, expected)
  })

  test('whose body breaks off still counts by its status', async () => {
    await using server = await serve((_, response) => {
      response.writeHead(429, { 'content-length': 1000 }).write('{"error":')
      setTimeout(() => response.destroy(), 20)
    })
    live = providerOf({ baseUrl: server.url })
    const { status, json } = await failureOf('success')
    expect([status, json.error.code, waits.length]).toEqual([503, 'upstream_rate_limited', 2])
  })
})

describe('a broken connection', () => {
  const late = { status: 503, code: 'upstream_timeout', calls: 2, billed: true }
  const cut = { status: 503, code: 'upstream_unavailable', calls: 1, billed: true }

  test.each([
    ['reset-before-headers', late],
    ['fin-before-headers', late],
    ['reset-mid-body', cut],
    ['fin-mid-body', cut],
  ] as const)('%s: %j', async (scenario, expected) => {
    await expectFailure(await failureOf(scenario), expected)
  })

  test('that nobody takes is tried three times and costs nothing', async () => {
    const server = await serve(() => {})
    await server[Symbol.asyncDispose]()
    live = providerOf({ baseUrl: server.url })
    const expected = { status: 503, code: 'upstream_unavailable', calls: 0, billed: false }
    await expectFailure(await failureOf('success'), expected)
    expect(waits).toHaveLength(2)
  })

  test('that stays silent is cut off, and asked once more', async () => {
    live = hasty
    await expectFailure(await failureOf('silence'), late)
    expect(emulator.stats().aborted).toBe(2)
  })

  test.each(['stall', 'endless'] as const)(
    'that began to answer is not asked again: %s',
    async (scenario) => {
      live = hasty
      await expectFailure(await failureOf(scenario), { ...late, calls: 1 })
    },
  )
})

describe('a picture in an unusual answer', () => {
  test.each<ScenarioInput>([
    'lying-mime',
    'missing-mime',
    'image-only',
    'image-before-text',
    'thought-image',
    'drafts-flagged',
    'drafts-unflagged',
    'snake-case',
    { name: 'success', gzip: true },
    { name: 'unknown-finish-reason', images: 1 },
    { name: 'continuation', images: 1 },
    { name: 'slow-body', pauseMs: 2 },
  ])('is a success at the first call: %j', async (scenario) => {
    emulator.setDefault(scenario)
    const { status, json } = await generate()
    expect(status).toBe(200)
    expect(json.images).toMatchObject([{ mime_type: 'image/jpeg', width: 1024, height: 1024 }])
    expect(emulator.requests).toHaveLength(1)
  })
})

describe('a call that fails and is repeated', () => {
  test.each<[ScenarioInput[], number[]]>([
    [[{ name: 'quota-per-minute', retryDelay: '7s' }], [7000]],
    [[{ name: 'quota-per-minute', retryDelay: '3.25s' }], [3250]],
    [[{ name: 'error', status: 429, message: 'Too much. Please retry in 3.5s.' }], [3500]],
    [[{ name: 'error', status: 429, message: 'Too much. Please retry in 250ms.' }], [250]],
    [[{ name: 'quota-bare', headers: { 'retry-after': '4' } }], [4000]],
    [['quota-bare'], [expect.any(Number)]],
    [
      ['internal', 'overloaded'],
      [expect.any(Number), expect.any(Number)],
    ],
    [['reset-before-headers'], [expect.any(Number)]],
    [['deadline-expired'], [expect.any(Number)]],
    [['text-only'], []],
  ])('after %j is charged once', async (scenarios, expected) => {
    emulator.script(scenarios)
    const before = await spent()
    const { status, json } = await generate()
    expect(status).toBe(200)
    expect(await spent()).toBeCloseTo(before + json.usage.cost_usd, 6)
    expect(emulator.requests).toHaveLength(scenarios.length + 1)
    expect(waits).toEqual(expected)
  })

  test.each<[ScenarioInput[], number, string]>([
    [['internal', 'reset-before-headers'], 2, 'upstream_timeout'],
    [['reset-before-headers', 'internal'], 2, 'upstream_unavailable'],
    [['internal', 'reset-mid-body'], 2, 'upstream_unavailable'],
    [['text-only', 'internal'], 2, 'upstream_unavailable'],
    [['internal', 'overloaded', 'reset-before-headers'], 3, 'upstream_timeout'],
    [['overloaded', 'bad-key'], 2, 'upstream_failed'],
    [['overloaded', 'refused'], 2, 'content_blocked'],
    [['overloaded', 'html'], 2, 'upstream_invalid'],
  ])('%j ends after %i calls', async (scenarios, calls, code) => {
    emulator.script(scenarios)
    const { json } = await failureOf('success')
    expect(json.error.code).toBe(code)
    expect(emulator.requests).toHaveLength(calls)
  })

  test('is noted, each time, without the prompt', async () => {
    emulator.setDefault('overloaded')
    await generate({ prompt: 'PROMPT-CANARY' })
    const notes = app.logs.filter(({ msg }) => String(msg).includes('is repeated'))
    expect(notes).toMatchObject([
      { level: 40, code: 'upstream_unavailable', attempt: 1 },
      { level: 40, code: 'upstream_unavailable', attempt: 2 },
    ])
    expect(JSON.stringify(notes)).not.toContain('PROMPT-CANARY')
  })

  test('is so by the service as it is configured', async () => {
    const env = { GEMINI_API_KEY, GEMINI_BASE_URL: emulator.url }
    await using configured = await createTestApp({ database: app.database.handle, env })
    emulator.script(['text-only'])
    expect((await generate({}, configured)).status).toBe(200)
    expect(emulator.requests).toHaveLength(2)
    emulator.setDefault('bad-key')
    await generate({}, configured)
    expect(configured.logs).toContainEqual(
      expect.objectContaining({ level: 50, msg: 'the provider refuses the API key' }),
    )
  })

  test('has one deadline over all attempts and waits', async () => {
    const env = { GEMINI_API_KEY, UPSTREAM_TIMEOUT: '1' }
    const providers = { live: providerOf({ attemptTimeoutMs: 600, sleep: undefined }) }
    await using bounded = await createTestApp({ database: app.database.handle, env, providers })
    emulator.setDefault('silence')
    const silent = await generate({}, bounded)
    expect(silent).toMatchObject({ status: 503, json: { error: { code: 'upstream_timeout' } } })
    await emulator.idle()
    expect(emulator.requests.length).toBeLessThanOrEqual(2)
    emulator.clearRequests()
    emulator.setDefault({ name: 'quota-per-minute', retryDelay: '5s' })
    const { status, json, headers } = await generate({}, bounded)
    expect([status, json.error.code]).toEqual([503, 'upstream_rate_limited'])
    expect(headers['retry-after']).toBe('5')
    expect(emulator.requests).toHaveLength(1)
  })
})

describe('a provider that keeps failing', () => {
  test('is left alone after twenty calls, then probed, then used again', async () => {
    for (let n = 0; n < 7; n++) await failureOf('overloaded')
    expect(emulator.requests).toHaveLength(20)
    const refused = await failureOf('success')
    await expectFailure(refused, {
      status: 503,
      code: 'upstream_unavailable',
      calls: 20,
      billed: false,
    })
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(10)
    expect((await generate({ model: 'gemini-2.5-flash-image' })).status).toBe(200)
    ahead += 10_000
    for (let n = 0; n < 2; n++) expect((await generate()).status).toBe(200)
  })
})

test('nothing was rejected without somebody to hear it', async () => {
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(unhandled).toEqual([])
  expect(sockets.size).toBeGreaterThan(10)
})

async function serve(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
