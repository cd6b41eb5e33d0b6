import { expect, test } from 'vitest'
import { startStub, succeed } from '../test/stub.ts'
import { NanoBanana } from './index.ts'

test('sends a query as GET with its input, the credential and no body', async () => {
  await using stub = await startStub((_, response) => succeed(response, { id: 'key_1' }))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'nb_test_secret' })

  await expect(client.keys.get({ id: 'key_1' })).resolves.toEqual({ id: 'key_1' })

  const [request] = stub.received
  expect(request).toMatchObject({ method: 'GET', body: '' })
  expect(request?.url).toBe(`/trpc/keys.get?input=${encodeURIComponent('{"id":"key_1"}')}`)
  expect(request?.headers.authorization).toBe('Bearer nb_test_secret')
})

test('sends a mutation as POST with a JSON body', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'nb_test_secret' })

  await client.generate({ prompt: 'a "banana"', metadata: { a: 'b' } })

  const [request] = stub.received
  expect(request).toMatchObject({ method: 'POST', url: '/trpc/generate' })
  expect(request?.headers['content-type']).toBe('application/json')
  expect(request?.body).toBe('{"prompt":"a \\"banana\\"","metadata":{"a":"b"}}')
})

test('sends an empty object where there is no input', async () => {
  await using stub = await startStub((_, response) => succeed(response, undefined))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'token' })

  await expect(client.auth.logoutAll()).resolves.toBeUndefined()
  await client.auth.me()
  await client.generations.list()

  expect(stub.received[0]).toMatchObject({ url: '/trpc/auth.logout_all', body: '{}' })
  expect(stub.received[1]?.url).toBe('/trpc/auth.me?input=%7B%7D')
  expect(stub.received[2]?.url).toBe('/trpc/generations.list?input=%7B%7D')
})

test('never puts two calls into one request', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'token' })

  await Promise.all([client.auth.me(), client.auth.me(), client.models.list()])

  const paths = stub.received.map(({ url }) => url.split('?')[0])
  expect(paths.toSorted()).toEqual(['/trpc/auth.me', '/trpc/auth.me', '/trpc/models.list'])
})

test('keeps the path of the base URL', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  await new NanoBanana({ baseUrl: `${stub.url}/images/`, apiKey: 'token' }).models.list()
  expect(stub.received[0]?.url).toBe('/images/trpc/models.list?input=%7B%7D')
})

test('sends no credential where there is none', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  await new NanoBanana({ baseUrl: stub.url }).auth.login({ email: 'a@b.c', password: 'p' })
  expect(stub.received[0]?.headers.authorization).toBeUndefined()
})

test('withApiKey answers a client with the other key and leaves the first as it was', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const client = new NanoBanana({ baseUrl: stub.url, apiKey: 'first' })

  await client.withApiKey('second').models.list()
  await client.models.list()

  const credentials = stub.received.map(({ headers }) => headers.authorization)
  expect(credentials).toEqual(['Bearer second', 'Bearer first'])
})

test('sends through the given fetch', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const urls: string[] = []
  const client = new NanoBanana({
    baseUrl: stub.url,
    fetch: (url, init) => {
      urls.push(url)
      return fetch(url, init)
    },
  })
  await client.models.list()
  expect(urls).toEqual([`${stub.url}/trpc/models.list?input=%7B%7D`])
})

test('an input that cannot be JSON rejects as what it is, and nothing is sent', async () => {
  await using stub = await startStub((_, response) => succeed(response, {}))
  const client = new NanoBanana({ baseUrl: stub.url })
  const input = { prompt: 1n } as unknown as { prompt: string }
  await expect(client.generate(input)).rejects.toThrow(TypeError)
  expect(stub.received).toEqual([])
})

test('a client that is printed shows no credential', async () => {
  const { inspect } = await import('node:util')
  const client = new NanoBanana({ apiKey: 'nb_live_secret' })
  expect(inspect(client, { depth: 9, showHidden: true })).not.toContain('secret')
  expect(JSON.stringify(client)).not.toContain('secret')
})
