import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmulator } from '@nanobanana/gemini-emulator'
import { expect, test } from 'vitest'
import { killed } from './cluster.ts'
import { startFaultyStore } from './faulty-store.ts'
import { createTestDatabase, ENGINE, JWT_SECRET } from './harness.ts'
import { startServer } from './long/processes.ts'
import { SMALL } from './world.ts'

const LEASE_SECONDS = 2

/** Calls what answers JSON. */
async function call(url: string, path: string, token?: string, body?: unknown) {
  const response = await fetch(url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, json: (await response.json()) as any }
}

async function createKey(url: string): Promise<string> {
  const account = { email: 'somebody@example.com', password: 'correct horse battery' }
  await call(url, '/v1/auth/register', undefined, account)
  const session = await call(url, '/v1/auth/login', undefined, account)
  const token = session.json.access_token
  return (await call(url, '/v1/keys', token, { name: 'a key', mode: 'live' })).json.key
}

test('pictures that wait for their store outlive the process that made them', async () => {
  await using opened = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-spool-'))
  opened.defer(() => rm(dataDir, { recursive: true, force: true }))
  const database = ENGINE === 'postgres' ? opened.use(await createTestDatabase()) : undefined
  const emulator = opened.use(await startEmulator({ signatureBytes: 64 }))
  const store = opened.use(await startFaultyStore())
  const env = {
    ...(database === undefined ? {} : { DATABASE_URL: database.url ?? '' }),
    DATA_DIR: dataDir,
    JWT_SECRET,
    PORT: '0',
    LOG_LEVEL: 'fatal',
    BCRYPT_COST: '10',
    LEASE_SECONDS: String(LEASE_SECONDS),
    GEMINI_API_KEY: 'x',
    GEMINI_BASE_URL: emulator.url,
    ...store.env,
  }
  const first = opened.use(await startServer(env))
  const key = await createKey(first.url)
  store.fault = () => '503'
  const cut = call(first.url, '/v1/generate', key, { prompt: 'a banana', ...SMALL, n: 2 })
  const ended = cut.catch((error: Error) => error.message)
  // Two pictures, three tries each; a further one is of whoever drains.
  await expect.poll(() => store.puts, { timeout: 20_000 }).toBeGreaterThan(6)
  await killed(first)
  expect(await ended).toBe('fetch failed')

  const second = opened.use(await startServer(env))
  const list = async () =>
    (await call(second.url, '/v1/generations', key)).json.data as { id: string; status: string }[]
  expect(await list()).toMatchObject([{ status: 'running' }])
  store.fault = () => 'none'
  await expect.poll(list, { timeout: 20_000 }).toMatchObject([{ status: 'succeeded' }])
  const [{ id } = { id: '' }] = await list()
  const { json } = await call(second.url, `/v1/generations/${id}`, key)
  expect(json.images).toHaveLength(2)
  for (const { url, bytes } of json.images) {
    expect(await (await fetch(url)).arrayBuffer()).toHaveProperty('byteLength', bytes)
  }
  expect(json.usage.cost_usd).toBeGreaterThan(0)
  expect(emulator.stats().total).toBe(2)
}, 90_000)
