import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import S3rver from '@20minutes/s3rver'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from './harness.ts'

let emulator: Emulator
let bucket: S3rver
let folder: string
let endpoint: string

beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64 })
  folder = await mkdtemp(join(tmpdir(), 'nanobanana-s3-'))
  bucket = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory: folder,
    vhostBuckets: false,
    configureBuckets: [{ name: 'pictures', configs: [] }],
  })
  const { port } = await bucket.run()
  endpoint = `http://127.0.0.1:${port}`
})
afterAll(async () => {
  await emulator.close()
  await bucket.close()
  await rm(folder, { recursive: true, force: true })
})

const liveEnv = () => ({ GEMINI_API_KEY: 'x', GEMINI_BASE_URL: emulator.url })
const s3Env = () => ({
  STORAGE: '',
  S3_ENDPOINT: endpoint,
  S3_BUCKET: 'pictures',
  S3_ACCESS_KEY_ID: 'S3RVER',
  S3_SECRET_ACCESS_KEY: 'S3RVER',
})

async function generate(app: TestApp, mode: 'live' | 'test' = 'live') {
  const { key } = await app.createKey(await app.register(), { mode })
  return app.request('POST', '/v1/generate', {
    token: key,
    body: { prompt: 'a banana astronaut', aspect_ratio: '16:9', size: '2K' },
  })
}

test('a live key gets a picture of the provider that lies in the bucket', async () => {
  await using app = await createTestApp({ env: { ...liveEnv(), ...s3Env() } })
  const made = await generate(app)
  expect(made.status).toBe(200)
  const [image] = made.json.images
  expect(image).toMatchObject({ storage: 's3', mime_type: 'image/jpeg', width: 2752, height: 1536 })
  expect(made.json.warnings).toEqual([])
  expect(made.json.url.startsWith(`${endpoint}/pictures/`)).toBe(true)
  const picture = Buffer.from(await (await fetch(made.json.url)).arrayBuffer())
  expect(await sharp(picture).metadata()).toMatchObject({
    width: 2752,
    height: 1536,
    format: 'jpeg',
  })
  expect(emulator.requests.at(-1)?.body).toMatchObject({
    generationConfig: { imageConfig: { aspectRatio: '16:9', imageSize: '2K' } },
  })
})

test('without a Google key a live key gets 503 provider_not_configured, which a repeat cannot change', async () => {
  await using app = await createTestApp({ env: s3Env() })
  const refused = await generate(app)
  expect(refused.status).toBe(503)
  expect(refused.json.error).toMatchObject({ code: 'provider_not_configured' })
  expect(refused.json.error.message).toContain('GEMINI_API_KEY')
  expect(refused.headers['x-should-retry']).toBe('false')
})

test('without storage settings the picture comes back directly as a data: URL', async () => {
  await using app = await createTestApp({ env: { ...liveEnv(), STORAGE: '' } })
  const made = await generate(app)
  expect(made.status).toBe(200)
  expect(made.json.images[0].storage).toBe('inline')
  const picture = Buffer.from(made.json.url.replace('data:image/jpeg;base64,', ''), 'base64')
  expect(await sharp(picture).metadata()).toMatchObject({ width: 2752, height: 1536 })
})

test('a picture in the bucket can be read and deleted by a service that stores on disk by now', async () => {
  await using app = await createTestApp({ env: { ...liveEnv(), ...s3Env() } })
  const account = await app.register()
  const { key } = await app.createKey(account, { mode: 'live' })
  const made = await app.request('POST', '/v1/generate', { token: key, body: { prompt: 'x' } })
  await using later = await createTestApp({
    database: app.database.handle,
    env: { ...s3Env(), STORAGE: 'disk' },
  })
  const again = await later.request('GET', `/v1/generations/${made.json.id}`, { token: key })
  expect((await fetch(again.json.url)).status).toBe(200)
  const { password, token } = account
  await later.request('POST', '/v1/auth/delete_account', { token, body: { password } })
  await later.service.deps.background.drain()
  expect((await fetch(again.json.url)).status).toBe(404)
})
