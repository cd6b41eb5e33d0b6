import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { fail, send, sendHtml, startStub, succeed } from '../test/stub.ts'
import {
  type CallOptions,
  ConnectionError,
  NanoBanana,
  NanoBananaError,
  TimeoutError,
} from './index.ts'

const thrownBy = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  )

const callAt = (baseUrl: string, options?: CallOptions) =>
  thrownBy(new NanoBanana({ baseUrl, apiKey: 'token', maxRetries: 0 }).models.list(options))

test('an HTML 503 is a ConnectionError with its status', async () => {
  await using stub = await startStub((_, response) =>
    sendHtml(response, 503, { 'retry-after': '3', 'x-request-id': 'req_proxy' }),
  )
  const error = await callAt(stub.url)
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({
    code: 'connection_failed',
    type: 'connection_error',
    status: 503,
    shouldRetry: true,
    retryAfterMs: 3000,
    requestId: 'req_proxy',
  })
})

test('an HTML 404 is a ConnectionError that a repeat does not help', async () => {
  await using stub = await startStub((_, response) => sendHtml(response, 404))
  expect(await callAt(stub.url)).toMatchObject({
    name: 'ConnectionError',
    status: 404,
    shouldRetry: false,
  })
})

test.each([
  ['JSON that is no answer of the service', { hello: 'world' }],
  ['a foreign error', { error: { message: 'no', code: -1, data: { code: 'X' } } }],
  ['null', null],
])('%s is a ConnectionError', async (_, body) => {
  await using stub = await startStub((__, response) => send(response, 200, body))
  expect(await callAt(stub.url)).toMatchObject({ name: 'ConnectionError', status: 200 })
})

test('a service that is not there is a ConnectionError with the cause and without a status', async () => {
  const stub = await startStub(() => {})
  await stub[Symbol.asyncDispose]()
  const error = await callAt(stub.url)
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({ status: undefined, shouldRetry: true })
  expect((error as Error).cause).toBeInstanceOf(TypeError)
})

test('a connection that breaks off in the answer is a ConnectionError', async () => {
  await using stub = await startStub((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"result":')
    setTimeout(() => response.destroy(), 20)
  })
  expect(await callAt(stub.url)).toMatchObject({ name: 'ConnectionError', status: 200 })
})

test('a redirect is not followed with the credential', async () => {
  await using other = await startStub((_, response) => succeed(response, {}))
  await using stub = await startStub((_, response) =>
    sendHtml(response, 301, { location: other.url }),
  )
  expect(await callAt(stub.url)).toMatchObject({ name: 'ConnectionError', status: 301 })
  expect(other.received).toEqual([])
})

test('no answer in time is a TimeoutError', async () => {
  await using stub = await startStub(() => {})
  const error = await callAt(stub.url, { timeoutMs: 50 })
  expect(error).toBeInstanceOf(TimeoutError)
  expect(error).toBeInstanceOf(NanoBananaError)
  expect(error).toMatchObject({
    code: 'timeout',
    shouldRetry: true,
    message: 'No answer within 50 ms.',
  })
})

test('an answer that stalls after its headers is a TimeoutError with their ids', async () => {
  await using stub = await startStub((_, response) => {
    response.writeHead(200, { 'x-request-id': 'req_1', 'x-generation-id': 'gen_1' })
    response.write('{')
  })
  const client = new NanoBanana({ baseUrl: stub.url, timeoutMs: 80, maxRetries: 0 })
  expect(await thrownBy(client.generate({ prompt: 'x' }))).toMatchObject({
    name: 'TimeoutError',
    requestId: 'req_1',
    generationId: 'gen_1',
  })
})

test.each([Number.POSITIVE_INFINITY, 2 ** 40])(
  'a timeout of %d ms never ends a call',
  async (timeoutMs) => {
    await using stub = await startStub(async (_, response) => {
      await sleep(50)
      succeed(response, {})
    })
    expect(await callAt(stub.url, { timeoutMs })).toBeUndefined()
  },
)

test.each([0, -1, Number.NaN])('a timeout of %d is refused', async (timeoutMs) => {
  expect(await callAt('http://127.0.0.1:9', { timeoutMs })).toBeInstanceOf(TypeError)
})

test('an abort rejects with AbortError, as fetch does', async () => {
  await using stub = await startStub(() => {})
  const controller = new AbortController()
  const call = callAt(stub.url, { signal: controller.signal })
  setTimeout(() => controller.abort(), 30)
  const error = await call
  expect(error).toBeInstanceOf(DOMException)
  expect(error).toMatchObject({ name: 'AbortError' })
  expect(error).not.toBeInstanceOf(NanoBananaError)
})

test('an abort with a reason rejects with it', async () => {
  await using stub = await startStub(() => {})
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const call = callAt(stub.url, { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 30)
  expect(await call).toBe(reason)
})

test('a signal that is aborted already sends nothing', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const error = await callAt(stub.url, { signal: AbortSignal.abort() })
  expect(error).toMatchObject({ name: 'AbortError' })
  expect(stub.received).toEqual([])
})

test('leaves no listener on the signal', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const { signal } = new AbortController()
  await callAt(stub.url, { signal })
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('calls at the same time keep their own ids', async () => {
  await using stub = await startStub(async ({ url }, response) => {
    const { id } = JSON.parse(new URL(url, 'http://x').searchParams.get('input') ?? '')
    // Answered in another order than asked.
    await sleep(Number(id) % 7)
    const headers = { 'x-request-id': `req_${id}`, 'x-generation-id': `gen_${id}` }
    if (Number(id) % 3 === 0) sendHtml(response, 503, headers)
    else fail(response, 404, { code: 'not_found', type: 'not_found_error' }, headers)
  })
  const client = new NanoBanana({ baseUrl: stub.url, maxRetries: 0 })
  const numbers = Array.from({ length: 60 }, (_, i) => i)
  const errors = await Promise.all(
    numbers.map((i) => thrownBy(client.generations.get({ id: String(i) }))),
  )
  const ids = errors.map((error) => (error as NanoBananaError).requestId)
  expect(ids).toEqual(numbers.map((i) => `req_${i}`))
  const generations = errors.map((error) => (error as NanoBananaError).generationId)
  expect(generations).toEqual(numbers.map((i) => `gen_${i}`))
})
