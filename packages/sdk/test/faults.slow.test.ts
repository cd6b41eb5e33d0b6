import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startEmulator, type Emulator } from '@nanobanana/gemini-emulator'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findViolations } from '../../server/src/check/check.ts'
import { createDiskObjectStore } from '../../server/src/adapters/object-store/disk.ts'
import { createTestApp, type TestApp } from '../../server/test/harness.ts'
import { NanoBanana } from '../src/index.ts'
import { type Fault, type FaultProxy, type Passing, startFaultProxy } from './fault-proxy.ts'

const CALLS = process.env['LONG'] === '1' ? 1000 : 60
const AT_ONCE = 6
const MINUTES = 60_000

const FAULTS: readonly Fault[] = [
  'reset-before',
  'reset-after',
  'cut-body',
  'end-body',
  'silence',
  { status: 429, retryAfterSeconds: 1 },
  { status: 503, retryAfterSeconds: 2 },
]

/** The same faults in the same order, so that a run that fails can be repeated. */
function createDice(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

let emulator: Emulator
let app: TestApp
let service: string
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64 })
  app = await createTestApp({
    env: {
      PUBLIC_URL: '',
      GEMINI_API_KEY: 'AIza-upstream',
      GEMINI_BASE_URL: emulator.url,
      RATE_LIMIT_CONCURRENCY: '100',
    },
  })
  service = await app.listen()
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await emulator.close()
})

async function proxied(choose: () => Fault): Promise<{ proxy: FaultProxy; client: NanoBanana }> {
  const { key } = await app.createKey(await app.register(), { mode: 'live' })
  const proxy = await startFaultProxy(service, choose)
  const client = new NanoBanana({
    baseUrl: proxy.url,
    apiKey: key,
    timeoutMs: 4000,
    maxRetries: 20,
  })
  return { proxy, client }
}

/** The three ways to a picture in turn; some take longer than the service holds the request. */
async function makeOne(client: NanoBanana, i: number): Promise<string> {
  const slow = i % 5 === 0 ? '[[slow-headers delayMs=1500]]' : ''
  const params = { prompt: `call ${i} ${slow}` }
  if (i % 3 === 0) return (await client.generate(params, { waitSeconds: 1 })).id
  if (i % 3 === 1) {
    const { id } = await client.generate.submit(params)
    return (await client.generations.wait(id)).id
  }
  let last: { type: string; id: string } | undefined
  for await (const { type, data } of client.generate.stream(params)) last = { type, id: data.id }
  expect(last?.type).toBe('generation.succeeded')
  return last!.id
}

async function makeAll(client: NanoBanana, count: number): Promise<string[]> {
  const ids: string[] = []
  let next = 0
  const work = async () => {
    while (next < count) ids.push(await makeOne(client, next++))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return ids
}

/** What the account was charged for, by generation, as the ledger has it. */
async function chargesOf(ids: readonly string[]): Promise<number[]> {
  const rows = await app.database.handle.db
    .selectFrom('usage')
    .select(({ fn }) => ['generation_id', fn.sum<string>('amount_micros').as('micros')])
    .groupBy('generation_id')
    .execute()
  expect(rows).toHaveLength(ids.length)
  return rows.map(({ micros }) => Number(micros))
}

describe('through a bad network', () => {
  test(
    `${CALLS} calls make and charge as many pictures, and none twice`,
    async () => {
      const roll = createDice(20_261_128)
      const { proxy, client } = await proxied(() =>
        roll() < 0.35 ? FAULTS[Math.floor(roll() * FAULTS.length)]! : 'pass',
      )
      await using _ = proxy
      const ids = await makeAll(client, CALLS)

      expect(new Set(ids).size).toBe(CALLS)
      expect(emulator.requests).toHaveLength(CALLS)
      const charges = await chargesOf(ids)
      expect(charges.every((micros) => micros < 0)).toBe(true)
      const store = await createDiskObjectStore({
        folder: join(app.dataDir, 'files'),
        signUrl: () => ({ url: '', expiresAt: null }),
      })
      const objects = { ...store, other: async () => undefined }
      expect(await findViolations(app.database.handle.db, objects)).toEqual([])

      for (const fault of FAULTS) {
        expect(proxy.seen.some((one) => JSON.stringify(one.fault) === JSON.stringify(fault))).toBe(
          true,
        )
      }
      expectPatience(proxy.seen)
    },
    CALLS * 0.1 * MINUTES,
  )
})

/** Whoever was told to wait waited that long, and not a second longer. */
function expectPatience(seen: readonly Passing[]): void {
  const told = seen.flatMap((one, i) => {
    if (typeof one.fault !== 'object' || one.idempotencyKey === undefined) return []
    const next = seen
      .slice(i + 1)
      .find(({ idempotencyKey }) => idempotencyKey === one.idempotencyKey)
    return next === undefined
      ? []
      : [{ toldMs: one.fault.retryAfterSeconds * 1000, ms: next.at - one.at }]
  })
  expect(told.length).toBeGreaterThan(0)
  for (const { toldMs, ms } of told) {
    expect(ms).toBeGreaterThanOrEqual(toldMs - 2)
    expect(ms).toBeLessThan(toldMs + 1000)
  }
}

describe('an aborted call', () => {
  const run = promisify(execFile)
  test.each([
    ['while nothing is answered', 'silence', 'generate'],
    ['while it waits to try again', { status: 503, retryAfterSeconds: 30 }, 'generate'],
    ['while it follows', 'pass', 'follow'],
    ['while it listens', 'pass', 'stream'],
    ['while an image is read', 'pass', 'image'],
  ] as const)('%s leaves no socket and no timer', async (_, fault, what) => {
    const { key } = await app.createKey(await app.register(), { mode: 'live' })
    await using proxy = await startFaultProxy(service, () => fault)
    const { stdout } = await run(process.execPath, [
      '--conditions=source',
      join(import.meta.dirname, 'aborting.ts'),
      JSON.stringify({ baseUrl: proxy.url, apiKey: key, what }),
    ])
    const { error, rejectedMs, left } = JSON.parse(stdout)
    expect(error).toBe('AbortError')
    expect(rejectedMs).toBeLessThan(100)
    expect(left).toEqual([])
  })
})
