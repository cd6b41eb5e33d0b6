import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type ClientOptions, NanoBanana, type NanoBananaError } from './index.ts'

beforeEach(() => void vi.useFakeTimers({ now: Date.parse('2026-11-28T12:00:00Z') }))
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

interface Sent {
  readonly at: number
  readonly url: string
  readonly headers: Headers
}
type Answering = (attempt: number) => Response | Error

const succeed = (data: unknown = { id: 'gen_1', status: 'succeeded' }, init?: ResponseInit) =>
  Response.json({ result: { data } }, init)
const fail = (status: number, code: string, headers: Record<string, string> = {}) => {
  const error = {
    type: code === 'insufficient_scope' ? 'permission_error' : 'x',
    code,
    message: 'No.',
    param: null,
    request_id: 'req_1',
  }
  return Response.json(
    { error: { message: 'No.', code: -1, data: { error } } },
    { status, headers },
  )
}

/** A client whose network is a function and whose clock stands still until it is told. */
function clientOf(answer: Answering, options: ClientOptions = {}) {
  const sent: Sent[] = []
  const fetch = async (url: string, init: RequestInit) => {
    sent.push({ at: Date.now(), url, headers: new Headers(init.headers) })
    const answered = answer(sent.length - 1)
    if (answered instanceof Error) throw answered
    return answered
  }
  return {
    sent,
    client: new NanoBanana({ apiKey: 'token', baseUrl: 'http://x', fetch, ...options }),
  }
}
const settled = async <T>(promise: Promise<T>): Promise<T | NanoBananaError> => {
  const outcome = promise.catch((error: NanoBananaError) => error)
  await vi.runAllTimersAsync()
  return outcome
}
const gaps = (sent: Sent[]) => sent.slice(1).map(({ at }, i) => at - sent[i]!.at)
const jitter = (value: number) => void vi.spyOn(Math, 'random').mockReturnValue(value)
const cut = () => new TypeError('fetch failed')

test.each([
  ['seconds', '7', 7000],
  ['a date', 'Sat, 28 Nov 2026 12:00:42 GMT', 42_000],
])('waits as long as Retry-After says in %s', async (_, header, ms) => {
  const { client, sent } = clientOf((i) =>
    i === 0 ? fail(429, 'rate_limited', { 'retry-after': header }) : succeed(),
  )
  await settled(client.generate({ prompt: 'x' }))
  expect(gaps(sent)).toEqual([ms])
})

test('backs off by full jitter where nothing is said', async () => {
  jitter(0.5)
  const { client, sent } = clientOf((i) => (i < 4 ? cut() : succeed()))
  await settled(client.generate({ prompt: 'x' }))
  expect(gaps(sent)).toEqual([250, 500, 1000, 2000])
})

test('one Idempotency-Key stays over the attempts of a call, and the next call has another', async () => {
  const { client, sent } = clientOf((i) => (i % 3 < 2 ? cut() : succeed()))
  await settled(client.generate({ prompt: 'x' }))
  await settled(client.generate({ prompt: 'x' }))
  const keys = sent.map(({ headers }) => headers.get('idempotency-key'))
  expect(new Set(keys.slice(0, 3)).size).toBe(1)
  expect(new Set(keys.slice(3)).size).toBe(1)
  expect(new Set(keys).size).toBe(2)
  expect(keys[0]).toMatch(/^sdk_[0-9a-f]{32}$/)
})

test('a key of the caller is sent as it is', async () => {
  const { client, sent } = clientOf(() => succeed())
  await client.generate({ prompt: 'x' }, { idempotencyKey: 'order-1' })
  expect(sent[0]?.headers.get('idempotency-key')).toBe('order-1')
})

test('x-should-retry has the last word, both ways', async () => {
  const no = clientOf(() => fail(503, 'upstream_unavailable', { 'x-should-retry': 'false' }))
  await settled(no.client.generate({ prompt: 'x' }))
  expect(no.sent).toHaveLength(1)
  const yes = clientOf((i) =>
    i === 0 ? fail(409, 'email_taken', { 'x-should-retry': 'true' }) : succeed(),
  )
  await settled(yes.client.generate({ prompt: 'x' }))
  expect(yes.sent).toHaveLength(2)
})

test('what does not pass is tried once', async () => {
  const { client, sent } = clientOf(() => fail(422, 'content_blocked'))
  expect(await settled(client.generate({ prompt: 'x' }))).toMatchObject({ code: 'content_blocked' })
  expect(sent).toHaveLength(1)
})

test('maxRetries bounds the attempts, of the client or of the call', async () => {
  const { client, sent } = clientOf(cut, { maxRetries: 2 })
  await settled(client.models.list())
  expect(sent).toHaveLength(3)
  await settled(client.models.list({ maxRetries: 0 }))
  expect(sent).toHaveLength(4)
})

test('a mutation that might be done twice is tried again only where nothing was begun', async () => {
  const lost = clientOf(cut)
  await settled(lost.client.keys.create({ name: 'x' }))
  expect(lost.sent).toHaveLength(1)
  const failed = clientOf(() => fail(500, 'internal', { 'x-should-retry': 'true' }))
  await settled(failed.client.keys.create({ name: 'x' }))
  expect(failed.sent).toHaveLength(1)
  const limited = clientOf((i) => (i === 0 ? fail(429, 'rate_limited') : succeed({})))
  await settled(limited.client.keys.create({ name: 'x' }))
  expect(limited.sent).toHaveLength(2)
})

test('a Retry-After beyond the total time is an error at once', async () => {
  const { client, sent } = clientOf(() => fail(429, 'rate_limited', { 'retry-after': '601' }))
  const begun = Date.now()
  expect(await settled(client.models.list())).toMatchObject({ retryAfterMs: 601_000 })
  expect(sent).toHaveLength(1)
  expect(Date.now() - begun).toBe(0)
})

test('the total time bounds all attempts, and says so', async () => {
  const { client, sent } = clientOf(() => fail(503, 'overloaded', { 'retry-after': '4' }), {
    maxRetries: 100,
    totalTimeoutMs: 10_000,
  })
  const begun = Date.now()
  expect(await settled(client.models.list())).toMatchObject({ code: 'overloaded' })
  expect(sent).toHaveLength(3)
  expect(Date.now() - begun).toBe(8000)
})

test('follows a 202 by reading, waits as it is told, and sends the key once', async () => {
  const running = { object: 'generation', id: 'gen_1', status: 'running', images: [] }
  const ended = { ...running, status: 'succeeded' }
  const { client, sent } = clientOf((i) =>
    i === 0
      ? succeed(running, { headers: { 'retry-after': '2' } })
      : succeed(i < 3 ? running : ended),
  )
  expect(await settled(client.generate({ prompt: 'x' }))).toMatchObject({ status: 'succeeded' })
  expect(sent.map(({ url }) => url.split('?')[0])).toEqual([
    'http://x/trpc/generate',
    ...Array.from({ length: 3 }, () => 'http://x/trpc/generations.get'),
  ])
  expect(sent[0]?.headers.get('prefer')).toBe('wait=50')
  expect(gaps(sent)).toEqual([2000, 1500, 2250])
})

test('a key that may not read asks by repeating its request', async () => {
  const running = { object: 'generation', id: 'gen_1', status: 'running', images: [] }
  const { client, sent } = clientOf((i) =>
    i === 0
      ? succeed(running)
      : i === 1
        ? fail(403, 'insufficient_scope')
        : succeed({ ...running, status: i === 2 ? 'running' : 'succeeded' }),
  )
  const outcome = await settled(client.generate({ prompt: 'x' }))
  expect(outcome).toMatchObject({ status: 'succeeded' })
  const asked = sent.filter(({ url }) => url.endsWith('/generate'))
  expect(asked).toHaveLength(3)
  expect(new Set(asked.map(({ headers }) => headers.get('idempotency-key'))).size).toBe(1)
})

test('a generation that failed while it was followed rejects as what it failed', async () => {
  const error = { type: 'content_error', code: 'content_blocked', message: 'Blocked.' }
  const { client, sent } = clientOf((i) =>
    succeed({
      object: 'generation',
      id: 'gen_1',
      images: [],
      ...(i === 0 ? { status: 'queued' } : { status: 'failed', error }),
    }),
  )
  expect(await settled(client.generate({ prompt: 'x' }))).toMatchObject({
    name: 'ContentError',
    status: 422,
    message: 'Blocked.',
    generationId: 'gen_1',
    shouldRetry: false,
  })
  expect(sent).toHaveLength(2)
})

test('a generation that does not end in time is a TimeoutError with its id', async () => {
  const running = { object: 'generation', id: 'gen_1', status: 'running', images: [] }
  const { client } = clientOf(() => succeed(running), { totalTimeoutMs: 20_000 })
  const begun = Date.now()
  expect(await settled(client.generate({ prompt: 'x' }))).toMatchObject({
    name: 'TimeoutError',
    generationId: 'gen_1',
    message: 'The call did not end within 20000 ms.',
  })
  expect(Date.now() - begun).toBe(20_000)
})

test('an abort while it waits for the next attempt leaves no timer', async () => {
  const { client } = clientOf(cut)
  const controller = new AbortController()
  const call = client.models.list({ signal: controller.signal }).catch((error: unknown) => error)
  await vi.advanceTimersByTimeAsync(0)
  controller.abort()
  expect(await call).toMatchObject({ name: 'AbortError' })
  expect(vi.getTimerCount()).toBe(0)
})

test.each([-1, 1.5, Number.NaN])('refuses %d retries', async (maxRetries) => {
  expect(() => clientOf(cut, { maxRetries })).toThrow(TypeError)
})
