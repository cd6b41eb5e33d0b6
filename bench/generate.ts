// What a generation costs, beside peers that do the same or less:
//   node --conditions=source bench/generate.ts postgres://… [rounds] [calls]
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Pg from 'pg'

// The service's own, which stands in no folder above this one.
const require = createRequire(join(import.meta.dirname, '../packages/server/package.json'))
const pg = require('pg') as typeof Pg

const [server, rounds = '5', calls = '300'] = process.argv.slice(2)
if (server === undefined) throw new Error('which Postgres?')
const ROUNDS = Number(rounds)
const CALLS = Number(calls)
const CONCURRENCY = 16
const ROOT = join(import.meta.dirname, '..')
const PEERS = join(import.meta.dirname, 'peers')
/** Of the kernel: in which it tells processor time. */
const TICKS_PER_SECOND = 100

interface Contestant {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: object
}

const children: ChildProcess[] = []
const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })

/** Pinned to one processor, so that throughput is that of one. */
async function run(cwd: string, args: string[], env: Record<string, string>, ready: RegExp) {
  const child = spawn('taskset', ['-c', '0', process.execPath, ...args], {
    cwd,
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const printed = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (ready.test(text)) resolve(text)
    })
    child.on('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)))
  })
  // taskset becomes what it runs.
  return { pid: child.pid ?? 0, match: ready.exec(printed)! }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

async function startUpstream() {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'generate/upstream.ts')], {
    cwd: join(ROOT, 'packages/server'),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = (await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve)))
    .toString()
    .split('\n')
  const [url = '', picture, answer] = line!.split(' ')
  console.log(`upstream: a picture of ${picture} bytes in an answer of ${answer}`)
  return url
}

async function startOurs(database: string, upstream: string, dataDir: string): Promise<Contestant> {
  const port = await freePort()
  const env = {
    DATABASE_URL: database,
    DATA_DIR: dataDir,
    JWT_SECRET: 'bench-only-secret-0123456789-abcdefghij',
    PORT: String(port),
    STORAGE: 's3',
    S3_ENDPOINT: upstream,
    S3_BUCKET: 'b',
    S3_REGION: 'auto',
    S3_ACCESS_KEY_ID: 'x',
    S3_SECRET_ACCESS_KEY: 'x',
    GEMINI_API_KEY: 'x',
    GEMINI_BASE_URL: upstream,
    LOG_LEVEL: 'warn',
    BCRYPT_COST: '10',
    RATE_LIMIT_RPM: '1000000',
    RATE_LIMIT_CONCURRENCY: '10000',
    RATE_LIMIT_IP_RPM: '1000000',
    RATE_LIMIT_ACCOUNT_RPM: '1000000',
  }
  const main = join(ROOT, 'packages/server/dist/main.js')
  const { pid, match } = await run(ROOT, [main, 'serve'], env, /listens on (\S+)/)
  const url = match[1]!
  const send = async (path: string, body: object, token?: string) => {
    const headers = {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    }
    const response = await fetch(url + path, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    return (await response.json()) as { access_token: string; key: string }
  }
  const account = { email: 'bench@example.com', password: 'correct horse battery' }
  await send('/v1/auth/register', account)
  const { access_token: token } = await send('/v1/auth/login', account)
  const { key } = await send(
    '/v1/keys',
    { name: 'bench', mode: 'live', monthly_limit_usd: 1e6 },
    token,
  )
  return {
    name: 'NanoBanana',
    pid,
    url,
    path: '/v1/generate',
    headers: { authorization: `Bearer ${key}` },
    body: { prompt: 'a banana astronaut', model: 'gemini-3-pro-image' },
  }
}

async function startExpress(database: string, upstream: string): Promise<Contestant> {
  const port = await freePort()
  const env = { DATABASE_URL: database, UPSTREAM: upstream, PORT: String(port) }
  const { pid, match } = await run(PEERS, ['express.js'], env, /listens on (\S+)/)
  return {
    name: 'plain Express',
    pid,
    url: match[1]!,
    path: '/v1/generate',
    headers: { authorization: 'Bearer bench' },
    body: { prompt: 'a banana astronaut' },
  }
}

/** It keeps no accounts and stores nothing. */
async function startPortkey(upstream: string): Promise<Contestant> {
  const port = await freePort()
  const script = 'node_modules/@portkey-ai/gateway/build/start-server.js'
  const args = [script, `--port=${port}`, '--headless']
  const { pid } = await run(PEERS, args, {}, /Ready for connections/)
  return {
    name: 'Portkey gateway',
    pid,
    url: `http://127.0.0.1:${port}`,
    path: '/v1/chat/completions',
    headers: {
      authorization: 'Bearer x',
      'x-portkey-provider': 'google',
      'x-portkey-custom-host': upstream,
      // Without it the picture is left out of the answer.
      'x-portkey-strict-open-ai-compliance': 'false',
    },
    body: {
      model: 'gemini-3-pro-image',
      messages: [{ role: 'user', content: 'a banana astronaut' }],
    },
  }
}

function call({ url, path, headers, body }: Contestant): Promise<number> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body)
    const sent = request(
      url + path,
      {
        method: 'POST',
        agent,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        },
      },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(text)
  })
}

/** Milliseconds of processor that a process has used, all its threads. */
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
}

async function measure(contestant: Contestant, count: number) {
  let left = count
  const lane = async () => {
    while (left-- > 0) {
      const status = await call(contestant)
      if (status !== 200) throw new Error(`${contestant.name} answered ${status}`)
    }
  }
  const [cpu, began] = [await cpuOf(contestant.pid), performance.now()]
  await Promise.all(Array.from({ length: CONCURRENCY }, lane))
  const seconds = (performance.now() - began) / 1000
  return { cpuMs: ((await cpuOf(contestant.pid)) - cpu) / count, perSecond: count / seconds }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

async function withDatabase<T>(name: string, work: (url: string) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: server! })
  await client.connect()
  await client.query(`create database ${name}`)
  const url = new URL(server!)
  url.pathname = `/${name}`
  try {
    return await work(url.href)
  } finally {
    await client.query(`drop database ${name} with (force)`)
    await client.end()
  }
}

async function compare(ours: string, theirs: string, dataDir: string): Promise<void> {
  const upstream = await startUpstream()
  const contestants = [
    await startOurs(ours, upstream, dataDir),
    await startExpress(theirs, upstream),
    await startPortkey(upstream),
  ]
  for (const contestant of contestants) await measure(contestant, CALLS / 2)
  const results = new Map(
    contestants.map(({ name }) => [name, { cpuMs: [] as number[], perSecond: [] as number[] }]),
  )
  for (let round = 0; round < ROUNDS; round++) {
    for (const contestant of contestants) {
      const { cpuMs, perSecond } = await measure(contestant, CALLS)
      const of = results.get(contestant.name)!
      of.cpuMs.push(cpuMs)
      of.perSecond.push(perSecond)
    }
  }
  const table = [...results].map(([name, { cpuMs, perSecond }]) => ({
    name,
    'CPU ms each': Number(median(cpuMs).toFixed(2)),
    'a second': Number(median(perSecond).toFixed(1)),
  }))
  console.table(table)
  const [us, express, portkey] = table
  console.log(`CPU against Express: ${(us!['CPU ms each'] / express!['CPU ms each']).toFixed(2)}`)
  console.log(`throughput against Portkey: ${(us!['a second'] / portkey!['a second']).toFixed(2)}`)
}

const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-bench-'))
try {
  const stamp = Date.now()
  await withDatabase(`bench_ours_${stamp}`, (ours) =>
    withDatabase(`bench_theirs_${stamp}`, async (theirs) => {
      try {
        await compare(ours, theirs, dataDir)
      } finally {
        for (const child of children) child.kill('SIGKILL')
      }
    }),
  )
} finally {
  agent.destroy()
  await rm(dataDir, { recursive: true, force: true })
}
