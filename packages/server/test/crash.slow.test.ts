import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const MAIN = join(import.meta.dirname, '../src/main.ts')
const ROUNDS = 2

/** Who was told what, over all rounds: what must still be true after each kill. */
interface Acknowledged {
  readonly emails: string[]
  readonly keys: string[]
  readonly generations: { id: string; sha256: string }[]
}

interface Server {
  readonly url: string
  kill(): Promise<void>
}

async function start(dataDir: string): Promise<Server> {
  const child = spawn(process.execPath, ['--conditions=source', MAIN, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: dataDir,
      PORT: '0',
      STORAGE: 'disk',
      BCRYPT_COST: '10',
      LOG_LEVEL: 'error',
      RATE_LIMIT_REGISTER_PER_HOUR: '10000',
      RATE_LIMIT_LOGIN_PER_MINUTE: '10000',
      RATE_LIMIT_RPM: '1000000',
      RATE_LIMIT_ACCOUNT_RPM: '1000000',
      RATE_LIMIT_IP_RPM: '1000000',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await listening(child)
  return {
    url,
    async kill() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
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
    child.on('exit', (code) =>
      reject(new Error(`ended with ${code} before it listened: ${printed}`)),
    )
  })
}

async function call(url: string, path: string, token: string | undefined, body?: unknown) {
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

const PASSWORD = 'correct horse battery'

/** Registers, creates keys and makes pictures until the server is gone. */
async function work(url: string, name: string, acknowledged: Acknowledged): Promise<void> {
  for (let i = 0; ; i++) {
    const email = `${name}-${i}@example.com`
    const account = { email, password: PASSWORD }
    if ((await call(url, '/v1/auth/register', undefined, account)).status !== 201) continue
    acknowledged.emails.push(email)
    const login = await call(url, '/v1/auth/login', undefined, account)
    const created = await call(url, '/v1/keys', login.json.access_token, { name, mode: 'test' })
    if (created.status !== 201) continue
    acknowledged.keys.push(created.json.key)
    for (let n = 0; n < 5; n++) {
      const made = await call(url, '/v1/generate', created.json.key, {
        prompt: `${name} ${i} ${n}`,
      })
      const [image] = made.json.images ?? []
      if (made.status === 200)
        acknowledged.generations.push({ id: made.json.id, sha256: image.sha256 })
    }
  }
}

/** Everything that was acknowledged is there, and nothing is left running. */
async function verify(url: string, acknowledged: Acknowledged): Promise<void> {
  for (const email of acknowledged.emails) {
    const login = await call(url, '/v1/auth/login', undefined, { email, password: PASSWORD })
    expect(login.status, email).toBe(200)
  }
  const found = new Map<string, string>()
  for (const key of acknowledged.keys) {
    const page = await call(url, '/v1/generations?limit=100', key)
    expect(page.status).toBe(200)
    for (const generation of page.json.data) {
      expect(['succeeded', 'failed']).toContain(generation.status)
      if (generation.status === 'succeeded') found.set(generation.id, generation.url)
    }
  }
  for (const { id, sha256 } of acknowledged.generations) {
    const picture = await fetch(found.get(id) ?? '')
    const digest = await crypto.subtle.digest('SHA-256', await picture.arrayBuffer())
    expect(Buffer.from(digest).toString('hex'), id).toBe(sha256)
  }
}

test(
  'nothing acknowledged is lost when the process is killed during requests, and it starts again by itself',
  {
    timeout: 120_000,
  },
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-crash-'))
    const acknowledged: Acknowledged = { emails: [], keys: [], generations: [] }
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const server = await start(dataDir)
        await verify(server.url, acknowledged)
        const workers = ['a', 'b', 'c'].map((name) =>
          work(server.url, `${name}${round}`, acknowledged).catch(() => 'the server is gone'),
        )
        await new Promise((resolve) => setTimeout(resolve, 800 + Math.random() * 1200))
        await server.kill()
        await Promise.all(workers)
      }
      const server = await start(dataDir)
      await verify(server.url, acknowledged)
      await server.kill()
      expect(acknowledged.generations.length).toBeGreaterThan(ROUNDS)
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  },
)
