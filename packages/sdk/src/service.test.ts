import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../server/test/harness.ts'
import {
  AuthenticationError,
  ConflictError,
  InvalidRequestError,
  NanoBanana,
  NotFoundError,
  PermissionDeniedError,
  UnavailableError,
} from './index.ts'

let app: TestApp
let stranger: NanoBanana
beforeAll(async () => {
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  stranger = new NanoBanana({ baseUrl: await app.listen() })
})
afterAll(() => app[Symbol.asyncDispose]())

const password = 'correct horse battery'
let people = 0

async function logIn(): Promise<NanoBanana> {
  const email = `sdk${++people}@example.com`
  await stranger.auth.register({ email, password })
  const { access_token: token } = await stranger.auth.login({ email, password })
  return stranger.withApiKey(token)
}

test('a stranger registers, logs in, makes a key and a picture, and finds it again', async () => {
  const account = await logIn()
  expect(await account.auth.me()).toMatchObject({ name: null, spent_this_month_usd: 0 })
  const key = await account.keys.create({
    name: 'a key',
    mode: 'test',
    scopes: ['generate', 'read', 'usage'],
  })

  const client = stranger.withApiKey(key.key)
  const generation = await client.generate({ prompt: 'a banana', aspect_ratio: '16:9' })
  expect(generation).toMatchObject({ status: 'succeeded', mode: 'test', prompt: 'a banana' })
  expect(generation.images[0]?.size).toBeGreaterThan(0)

  const { data, next_cursor: cursor } = await client.generations.list({ limit: 1 })
  expect(data.map(({ id }) => id)).toEqual([generation.id])
  expect(cursor).toBeNull()
  expect(await client.generations.get({ id: generation.id })).toMatchObject({ id: generation.id })
  expect((await client.models.list()).data.length).toBeGreaterThan(0)
  expect((await client.usage.get({ group_by: 'key' })).total.requests).toBe(1)
})

test('a key is changed, rotated and revoked', async () => {
  const account = await logIn()
  const { id, key } = await account.keys.create({ name: 'one', mode: 'test' })
  expect(await account.keys.update({ id, name: 'two' })).toMatchObject({ name: 'two' })
  expect((await account.keys.list()).data).toHaveLength(1)
  const rotated = await account.keys.rotate({ id })
  await expect(stranger.withApiKey(key).models.list()).rejects.toThrow(AuthenticationError)
  await stranger.withApiKey(rotated.key).models.list()
  await expect(account.keys.revoke({ id })).resolves.toBeUndefined()
  expect(await account.keys.get({ id })).toMatchObject({ status: 'revoked' })
})

test('a password is changed and the account deleted', async () => {
  const account = await logIn()
  const { email } = await account.auth.me()
  const changed = 'another horse battery'
  await account.auth.password({ current_password: password, new_password: changed })
  await expect(account.auth.me()).rejects.toThrow(AuthenticationError)
  const { access_token: token } = await stranger.auth.login({ email, password: changed })
  await stranger.withApiKey(token).auth.deleteAccount({ password: changed })
  await expect(stranger.auth.login({ email, password: changed })).rejects.toThrow(
    AuthenticationError,
  )
})

test('both ways to log out end the token', async () => {
  for (const name of ['logout', 'logoutAll'] as const) {
    const account = await logIn()
    await account.auth[name]()
    await expect(account.auth.me()).rejects.toMatchObject({ code: 'invalid_token', status: 401 })
  }
})

test('the service fails with the classes of the SDK, and says which request it was', async () => {
  const account = await logIn()
  const { key } = await account.keys.create({ name: 'live', mode: 'live', scopes: ['generate'] })
  const client = stranger.withApiKey(key)

  const conflict = account.auth
    .me()
    .then(({ email }) => stranger.auth.register({ email, password }))
  await expect(conflict).rejects.toThrow(ConflictError)
  await expect(conflict).rejects.toMatchObject({ code: 'email_taken', status: 409 })
  await expect(client.generations.list()).rejects.toThrow(PermissionDeniedError)
  await expect(client.keys.list()).rejects.toMatchObject({ code: 'session_required' })
  await expect(account.generations.get({ id: 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz' })).rejects.toThrow(
    NotFoundError,
  )
  await expect(account.keys.create({ name: '' })).rejects.toThrow(InvalidRequestError)
  await expect(account.keys.create({ name: '' })).rejects.toMatchObject({
    param: 'name',
    shouldRetry: false,
    requestId: expect.stringMatching(/^req_/),
  })
  await expect(client.generate({ prompt: 'x' })).rejects.toThrow(UnavailableError)
  await expect(client.generate({ prompt: 'x' })).rejects.toMatchObject({
    code: 'provider_not_configured',
    shouldRetry: false,
  })
})

test('a generation that fails says its id', async () => {
  const account = await logIn()
  const { key } = await account.keys.create({ name: 'test', mode: 'test' })
  const error = stranger.withApiKey(key).generate({ prompt: 'a banana #sandbox:content_blocked' })
  await expect(error).rejects.toMatchObject({
    name: 'ContentError',
    code: 'content_blocked',
    generationId: expect.stringMatching(/^gen_/),
  })
})
