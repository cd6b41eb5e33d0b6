import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { answerSize, createLiveKey, generateLarge, generateSmall } from './calls.ts'
import { megabytes, memoryOf, type Percentiles, percentilesOf, resetPeak } from './measure.ts'
import { type Running, startProbe, startProvider, startServer } from './processes.ts'

/** LONG=1: more often. */
const FORM =
  process.env['LONG'] === '1'
    ? { answers: 5, atOnce: 20, rounds: 5, probesPerSecond: 200 }
    : { answers: 1, atOnce: 20, rounds: 2, probesPerSecond: 100 }

/** The embedded database blocks the event loop by nature: there, the latency is only told. */
const POSTGRES_URL = process.env['TEST_DATABASE_URL']

/** Fills an answer with a noisy picture at 4K up to 20 MB; two parts have one. */
const SIGNATURE_CHARS = 3_900_000
// Small ones: what a large one once took, a process keeps and would not seem to need again.
const WARM_UP_CALLS = 40
const IDLE_MS = 3000

const MAX_GROWTH = 3
const MAX_P99_MS = 100

/** The figures are what a run is for, also where nothing fails. */
const tell = (line: string): void => void process.stdout.write(`${line}\n`)

const opened = new AsyncDisposableStack()
let provider: Running
let server: Running
let key: string
let answerBytes: number

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-long-'))
  opened.defer(() => rm(dataDir, { recursive: true, force: true }))
  const database = POSTGRES_URL === undefined ? {} : await createDatabase(POSTGRES_URL)
  provider = opened.use(await startProvider(SIGNATURE_CHARS))
  server = opened.use(
    await startServer({
      ...database,
      DATA_DIR: dataDir,
      PORT: '0',
      STORAGE: 'disk',
      LOG_LEVEL: 'error',
      JWT_SECRET: randomBytes(32).toString('base64url'),
      GEMINI_API_KEY: 'x',
      GEMINI_BASE_URL: provider.url,
      RATE_LIMIT_CONCURRENCY: '1000',
      RATE_LIMIT_RPM: '100000',
      RATE_LIMIT_ACCOUNT_RPM: '100000',
      RATE_LIMIT_IP_RPM: '100000',
    }),
  )
  key = await createLiveKey(server.url)
  const { json, picture } = await answerSize(provider.url)
  answerBytes = json
  tell(`an answer: ${megabytes(json)} of JSON with a picture of ${megabytes(picture)}`)
  for (let call = 0; call < WARM_UP_CALLS; call++) await generateSmall(server.url, key)
})
afterAll(() => opened.disposeAsync())

async function createDatabase(serverUrl: string): Promise<{ DATABASE_URL: string }> {
  const name = `long_${randomBytes(6).toString('hex')}`
  const run = async (statement: string) => {
    const client = new pg.Client({ connectionString: serverUrl })
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }
  await run(`create database ${name}`)
  opened.defer(() => run(`drop database ${name} with (force)`))
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { DATABASE_URL: url.href }
}

it('an answer of 20 MB raises the peak of memory by no more than three times its size', async () => {
  expect(answerBytes / 20e6).toBeCloseTo(1, 1)
  for (let answer = 0; answer < FORM.answers; answer++) {
    await sleep(IDLE_MS)
    await resetPeak(server.pid)
    const { now: idle } = await memoryOf(server.pid)
    await generateLarge(server.url, key)
    const { peak } = await memoryOf(server.pid)
    const growth = (peak - idle) / answerBytes
    tell(`idle ${megabytes(idle)}, peak ${megabytes(peak)}: ${growth.toFixed(2)} times the answer`)
    expect(growth).toBeLessThanOrEqual(MAX_GROWTH)
  }
})

it(`${FORM.atOnce} answers at once do not hold up /healthz`, async () => {
  const many = () =>
    Promise.all(Array.from({ length: FORM.atOnce }, () => generateLarge(server.url, key)))
  await many()
  await sleep(IDLE_MS)
  const { now: idle } = await memoryOf(server.pid)
  await resetPeak(server.pid)
  const bare = await startProbe(FORM.probesPerSecond)
  const probe = await startProbe(FORM.probesPerSecond, `${server.url}/healthz`)
  const started = performance.now()
  for (let round = 0; round < FORM.rounds; round++) await many()
  const seconds = (performance.now() - started) / 1000
  const latencies = await Promise.all(
    [probe, bare].map(async (one) => percentilesOf(await one.stop())),
  )
  const [ours, machine] = latencies as [Percentiles, Percentiles]
  const { peak } = await memoryOf(server.pid)
  const growth = (peak - idle) / answerBytes / FORM.atOnce
  tell(
    `${FORM.rounds} rounds of ${FORM.atOnce} in ${seconds.toFixed(1)} s; ` +
      `idle ${megabytes(idle)}, peak ${megabytes(peak)}: ${growth.toFixed(2)} times each answer`,
  )
  tell(`/healthz: ${inWords(ours)}`)
  tell(`a bare server meanwhile: ${inWords(machine)}`)
  // What a busy machine gives nobody is not held against the service.
  if (POSTGRES_URL === undefined) tell('not judged: the embedded database blocks the event loop')
  else expect(ours.p99 - machine.p99).toBeLessThan(MAX_P99_MS)
})

const inWords = ({ count, p50, p99, max }: Percentiles): string =>
  `${count} probes, p50 ${p50} ms, p99 ${p99} ms, slowest ${max} ms`
