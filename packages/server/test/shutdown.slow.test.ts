import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openPglite } from '../src/db/client.ts'
import { createTestDatabase, ENGINE, JWT_SECRET, type TestDatabase } from './harness.ts'

const MAIN = [join(import.meta.dirname, '../src/main.ts'), 'serve']
const START = [join(import.meta.dirname, '../src/start.ts')]

/** A process of the service on a database that outlives it. */
interface Server {
  readonly url: string
  readonly child: ChildProcess
  /** Its code, and how many milliseconds after the last signal it ended. */
  readonly ended: Promise<{ code: number | null; ms: number }>
  signal(name: NodeJS.Signals): void
}

let dataDir: string
let database: TestDatabase | undefined
let children: ChildProcess[]
beforeEach(async () => {
  children = []
  dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-shutdown-'))
  database = ENGINE === 'pglite' ? undefined : await createTestDatabase()
})
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await database?.[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true, force: true })
})

async function start(env: Record<string, string> = {}, script = MAIN): Promise<Server> {
  const child = spawn(process.execPath, ['--conditions=source', ...script], {
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: dataDir,
      JWT_SECRET,
      ...(database === undefined ? {} : { DATABASE_URL: database.url }),
      PORT: '0',
      STORAGE: 'disk',
      BCRYPT_COST: '10',
      LOG_LEVEL: 'fatal',
      LEASE_SECONDS: '3600',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let signalled = 0
  const ended = once(child, 'exit').then(([code]) => ({
    code: code as number | null,
    ms: performance.now() - signalled,
  }))
  return {
    url: await listening(child),
    child,
    ended,
    signal(name) {
      signalled = performance.now()
      child.kill(name)
    },
  }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      const url = /listens on (\S+)/.exec(printed)?.[1]
      if (url !== undefined) resolve(url)
    })
    child.on('exit', (code) => reject(new Error(`ended with ${code}: ${printed}`)))
  })
}

async function freePort(): Promise<number> {
  await using server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function post(url: string, path: string, body: object, token?: string) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, json: (await response.json()) as any }
}

async function createKey({ url }: Server): Promise<string> {
  const account = { email: 'ada@example.com', password: 'correct horse battery' }
  await post(url, '/v1/auth/register', account)
  const { json } = await post(url, '/v1/auth/login', account)
  const body = { name: 'a key', mode: 'test' }
  return (await post(url, '/v1/keys', body, json.access_token)).json.key
}

/** Begins a generation that takes so long, and waits until it runs. */
async function begin({ url }: Server, key: string, seconds: number) {
  const made = post(url, '/v1/generate', { prompt: `#sandbox:slow=${seconds} x` }, key)
  const answer = made.catch(() => 'the connection broke' as const)
  const running = async () => {
    const headers = { authorization: `Bearer ${key}` }
    const page = await fetch(`${url}/v1/generations?status=running`, { headers })
    return ((await page.json()) as { data: unknown[] }).data.length
  }
  while ((await running()) === 0) await sleep(50)
  return { answer }
}

/** What the database says of the only generation, once no process holds it. */
async function generationLeft(): Promise<{ status: string; is_free: boolean }> {
  const pglite =
    database === undefined
      ? await openPglite({ folder: join(dataDir, 'db') }, { onConnectionError: () => {} })
      : undefined
  const { db } = pglite ?? database!.handle
  const { rows } = await sql<{ status: string; is_free: boolean }>`
    select status, coalesce(lease_expires_at < now(), true) as is_free from generations`.execute(db)
  await pglite?.close()
  if (rows.length !== 1) throw new Error(`there are ${rows.length} generations`)
  return rows[0]!
}

const status = async (url: string): Promise<number | 'refused'> =>
  fetch(url).then(
    async (response) => (await response.arrayBuffer(), response.status),
    () => 'refused' as const,
  )

describe('SIGTERM', () => {
  test('is told at once, serves on for DRAIN_DELAY, and lets what runs end', async () => {
    const metrics = `http://127.0.0.1:${await freePort()}`
    const server = await start({ DRAIN_DELAY: '2', METRICS_PORT: new URL(metrics).port })
    const key = await createKey(server)
    expect(await status(`${server.url}/readyz`)).toBe(200)
    const { answer } = await begin(server, key, 4)
    server.signal('SIGTERM')
    const signalled = performance.now()
    await expect.poll(() => status(`${server.url}/readyz`), { timeout: 1000 }).toBe(503)
    expect(await status(`${metrics}/readyz`)).toBe(503)
    const read = await fetch(`${server.url}/v1/models`, {
      headers: { authorization: `Bearer ${key}` },
    })
    expect(read.status).toBe(200)
    expect(read.headers.get('connection')).toBe('close')
    await sleep(1500 - (performance.now() - signalled))
    expect(await status(`${server.url}/healthz`)).toBe(200)
    await sleep(2600 - (performance.now() - signalled))
    expect(await status(`${server.url}/healthz`)).toBe('refused')
    expect(await status(`${metrics}/readyz`)).toBe(503)
    expect(await answer).toMatchObject({ status: 200, json: { status: 'succeeded' } })
    expect((await server.ended).code).toBe(0)
    expect(await status(`${metrics}/metrics`)).toBe('refused')
    expect((await generationLeft()).status).toBe('succeeded')
  }, 30_000)

  test('closes connections that nobody uses, so that they do not hold it up', async () => {
    const server = await start({ DRAIN_DELAY: '0' })
    const { port } = new URL(server.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    const closed = once(socket, 'close')
    server.signal('SIGTERM')
    await closed
    const { code, ms } = await server.ended
    expect(code).toBe(0)
    expect(ms).toBeLessThan(5000)
  }, 30_000)

  test('waits for a generation also when its client has gone', async () => {
    const server = await start({ DRAIN_DELAY: '0' })
    const key = await createKey(server)
    const { port } = new URL(server.url)
    const body = JSON.stringify({ prompt: '#sandbox:slow=2 x' })
    const socket = connect(Number(port), '127.0.0.1')
    const head = [`Authorization: Bearer ${key}`, 'Content-Type: application/json']
    const length = `Content-Length: ${body.length}`
    socket.write(['POST /v1/generate HTTP/1.1', 'Host: x', ...head, length, '', body].join('\r\n'))
    await sleep(700)
    socket.destroy()
    server.signal('SIGTERM')
    expect((await server.ended).code).toBe(0)
    expect((await generationLeft()).status).toBe('succeeded')
  }, 30_000)

  test('leaves to others what takes longer than DRAIN_TIMEOUT, counted from the signal', async () => {
    const server = await start({ DRAIN_DELAY: '1', DRAIN_TIMEOUT: '2' })
    const { answer } = await begin(server, await createKey(server), 60)
    server.signal('SIGTERM')
    const { code, ms } = await server.ended
    expect(code).toBe(0)
    expect(ms).toBeGreaterThan(1900)
    expect(ms).toBeLessThan(6000)
    expect(await answer).toBe('the connection broke')
    expect(await generationLeft()).toEqual({ status: 'running', is_free: true })
  }, 30_000)

  test('a second time waits no longer, and leaves to others what runs', async () => {
    const server = await start({ DRAIN_DELAY: '60', DRAIN_TIMEOUT: '300' })
    const { answer } = await begin(server, await createKey(server), 60)
    server.signal('SIGTERM')
    await expect.poll(() => status(`${server.url}/readyz`)).toBe(503)
    server.signal('SIGTERM')
    const { code, ms } = await server.ended
    expect(code).toBe(0)
    expect(ms).toBeLessThan(4000)
    expect(await answer).toBe('the connection broke')
    expect(await generationLeft()).toEqual({ status: 'running', is_free: true })
  }, 30_000)

  test.skipIf(ENGINE === 'pglite')(
    'so that another process takes it over at once',
    async () => {
      const other = await start()
      const server = await start({ DRAIN_DELAY: '0', DRAIN_TIMEOUT: '1' })
      await begin(server, await createKey(server), 60)
      server.signal('SIGTERM')
      expect((await server.ended).code).toBe(0)
      const left = async () => (await generationLeft()).status
      await expect.poll(left, { timeout: 6000, interval: 200 }).not.toBe('running')
      expect(other.child.exitCode).toBeNull()
    },
    30_000,
  )
})

test('Ctrl-C ends the start script without DRAIN_DELAY, unless somebody set one', async () => {
  const quick = await start({}, START)
  quick.signal('SIGINT')
  const first = await quick.ended
  expect(first.code).toBe(0)
  expect(first.ms).toBeLessThan(3000)
  const slow = await start({ DRAIN_DELAY: '3' }, START)
  slow.signal('SIGINT')
  const second = await slow.ended
  expect(second.code).toBe(0)
  expect(second.ms).toBeGreaterThan(2900)
}, 30_000)
