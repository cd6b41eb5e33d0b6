import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from './harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

test('a stranger registers, logs in, creates a key and gets a picture whose address can be had again', async () => {
  const credentials = { email: 'you@example.com', password: 'correct horse battery' }
  const registered = await app.request('POST', '/v1/auth/register', { body: credentials })
  expect(registered.status).toBe(201)
  expect(registered.json).toMatchObject({ email: 'you@example.com', name: null })

  const login = await app.request('POST', '/v1/auth/login', { body: credentials })
  expect(login.status).toBe(200)
  const token = login.json.access_token

  const created = await app.request('POST', '/v1/keys', {
    token,
    body: { name: 'first', mode: 'test' },
  })
  expect(created.status).toBe(201)
  expect(created.json.key).toMatch(/^nb_test_[0-9A-Za-z]{32}$/)

  const made = await app.request('POST', '/v1/generate', {
    token: created.json.key,
    body: { prompt: 'a banana astronaut', aspect_ratio: '16:9', metadata: { job: '7' } },
  })
  expect(made.status).toBe(200)
  expect(made.headers['x-generation-id']).toBe(made.json.id)
  expect(made.headers['location']).toBe(`/v1/generations/${made.json.id}`)

  const { pathname, search } = new URL(made.json.url)
  const picture = await app.request('GET', pathname + search)
  expect(picture.status).toBe(200)
  const facts = await sharp(picture.bytes).metadata()
  const [image] = made.json.images
  expect({ width: facts.width, height: facts.height }).toEqual({
    width: image.width,
    height: image.height,
  })
  expect(made.json.warnings).toEqual([])

  const again = await app.request('GET', `/v1/generations/${made.json.id}`, { token })
  expect(again.json).toMatchObject({ id: made.json.id, prompt: 'a banana astronaut' })
  const fresh = new URL(again.json.url)
  expect((await app.request('GET', fresh.pathname + fresh.search)).status).toBe(200)
})

test('behind a path prefix every address that is handed out has the prefix', async () => {
  await using prefixed = await createTestApp({
    env: { PUBLIC_URL: 'https://example.com/pictures' },
  })
  const { key } = await prefixed.createKey(await prefixed.register())
  const made = await prefixed.request('POST', '/v1/generate', { token: key, body: { prompt: 'x' } })
  expect(made.headers['location']).toBe(`/pictures/v1/generations/${made.json.id}`)
  const [image] = made.json.images
  expect(image.url).toMatch(/^https:\/\/example\.com\/pictures\/files\//)
  expect(image.thumbnail_url).toMatch(/^https:\/\/example\.com\/pictures\/v1\/images\//)
  const { pathname, search } = new URL(image.url)
  const stripped = pathname.replace('/pictures', '') + search
  expect((await prefixed.request('GET', stripped)).status).toBe(200)
})
