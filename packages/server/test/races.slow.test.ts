import { setTimeout as sleep } from 'node:timers/promises'
import { MODELS } from '@nanobanana/shared'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { estimateTokens } from '../src/features/generations/estimate.ts'
import { priceMicros } from '../src/features/usage/price.ts'
import { type Answer, type Cluster, killed, type Payer, startCluster } from './cluster.ts'
import { ENGINE } from './harness.ts'
import { SMALL } from './world.ts'

const PROCESSES = 3
const CALLS = 500
const TWINS = 100
const PROMPT = 'a banana'
const BODY = { prompt: PROMPT, ...SMALL }

const model = MODELS.find(({ aliases }) => aliases.includes(SMALL.model))!
/** What one call sets aside. Ten that have ended leave no room for an eleventh. */
const RESERVATION = priceMicros(
  estimateTokens({ model, size: '512', n: 1 }, PROMPT, 0),
  model.prices,
)

const many = <T>(count: number, one: (n: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => one(n)))

/** Where all the connections to the database are taken, a call is told to come back. */
async function decided(call: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await call()
    if (answer.json.error?.code !== 'unavailable') return answer
    await sleep(Number(answer.headers.get('retry-after')) * 1000)
  }
}

const tally = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { status, json } of answers) {
    const name = `${status} ${json.error?.code ?? json.status}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

// PGlite has one process and runs one transaction after the other: it can show no race.
describe.skipIf(ENGINE === 'pglite')('three processes on one Postgres', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster(PROCESSES, { LEASE_SECONDS: '3' })
  })
  afterAll(() => cluster[Symbol.asyncDispose]())
  afterEach(() => {
    cluster.emulator.clearRequests()
    cluster.emulator.setDefault()
  })

  const generate = (n: number, { key }: Payer, headers: Record<string, string> = {}) =>
    cluster.call(n, '/v1/generate', { token: key, body: BODY, headers })

  test.each(['account', 'key'] as const)(
    `${CALLS} calls at once with a limit of the %s for ten let ten through`,
    async (owner) => {
      const limit = 10 * RESERVATION
      const payer = await cluster.createPayer(
        owner === 'key' ? { monthly_limit_usd: limit / 1e6 } : {},
      )
      if (owner === 'account')
        await sql`update users set monthly_limit_micros = ${limit}::bigint where id = ${payer.userId}`.execute(
          cluster.database.handle.db,
        )
      const answers = await many(CALLS, (n) => decided(() => generate(n, payer)))
      expect(tally(answers)).toEqual({ '200 succeeded': 10, '402 budget_exceeded': CALLS - 10 })
      expect(cluster.emulator.stats().total).toBe(10)
    },
  )

  test.each([
    ['while the repeats wait', 500, { '200 succeeded': TWINS }],
    ['after they gave up', 4000, { '200 succeeded': 1, '409 idempotency_in_progress': TWINS - 1 }],
  ])(`${TWINS} twins at once buy one picture, which comes %s`, async (_, delayMs, expected) => {
    cluster.emulator.setDefault({ name: 'success', delayMs })
    const payer = await cluster.createPayer()
    const headers = { 'idempotency-key': 'twins' }
    const answers = await many(TWINS, (n) => decided(() => generate(n, payer, headers)))
    expect(tally(answers)).toEqual(expected)
    const ids = new Set(answers.map((one) => one.headers.get('x-generation-id')))
    expect(ids.size).toBe(1)
    const [id] = ids
    for (const { headers: said } of answers)
      expect(said.get('location')).toBe(`/v1/generations/${id}`)
    for (const refused of answers.filter(({ status }) => status === 409))
      expect(refused.headers.get('retry-after')).toBe('2')
    const repeats = await many(PROCESSES, (n) => generate(n, payer, headers))
    for (const { json, headers: said } of repeats) {
      expect(json).toMatchObject({ id, status: 'succeeded' })
      expect(said.get('idempotent-replayed')).toBe('true')
    }
    expect(cluster.emulator.stats().total).toBe(1)
  })

  test('a key has as many generations at once as it may, never more', async () => {
    cluster.emulator.setDefault({ name: 'success', delayMs: 300 })
    const payer = await cluster.createPayer({ max_concurrency: 4 })
    const untilMade = async (n: number): Promise<number> => {
      for (let refused = 0; ; refused++) {
        const { status, json, headers } = await generate(n, payer)
        if (status === 200) return refused
        expect(json.error.code).toBe('concurrency_limited')
        expect(headers.get('retry-after')).toBe('1')
        await sleep(50)
      }
    }
    const refusals = await many(16, untilMade)
    expect(refusals.filter((count) => count > 0).length).toBeGreaterThanOrEqual(12)
    expect(cluster.emulator.stats()).toMatchObject({ total: 16, maxActive: 4 })
  })

  // The last: one process fewer is left.
  test('the twin of a request whose process was killed is one more attempt, charged once', async () => {
    cluster.emulator.script([{ name: 'success', delayMs: 60_000 }])
    const payer = await cluster.createPayer()
    const headers = { 'idempotency-key': 'killed' }
    const first = generate(0, payer, headers).catch(() => 'the process is gone')
    await vi.waitUntil(() => cluster.emulator.stats().active === 1, 10_000)
    const early = await generate(1, payer, headers)
    expect(early.json.error.code).toBe('idempotency_in_progress')
    await killed(cluster.servers[0]!)
    expect(await first).toBe('the process is gone')
    const made = await vi.waitUntil(
      async () => {
        const answer = await generate(2, payer, headers)
        return answer.status === 200 && answer
      },
      { timeout: 20_000, interval: 200 },
    )
    const id = early.headers.get('x-generation-id')
    expect(made.json).toMatchObject({ id, status: 'succeeded' })
    expect(made.headers.get('idempotent-replayed')).toBeNull()
    expect(cluster.emulator.stats().total).toBe(2)
    const { db } = cluster.database.handle
    const ledger = await db
      .selectFrom('usage')
      .select(['attempt', 'kind', 'amount_micros'])
      .where('user_id', '=', payer.userId)
      .orderBy('id')
      .execute()
    const cost = made.json.usage.cost_usd * 1e6
    expect(ledger).toEqual([
      { attempt: 1, kind: 'reserve', amount_micros: -RESERVATION },
      { attempt: 1, kind: 'release', amount_micros: RESERVATION },
      { attempt: 2, kind: 'reserve', amount_micros: -RESERVATION },
      { attempt: 2, kind: 'settle', amount_micros: RESERVATION - cost },
    ])
    const spent = await db.selectFrom('spending').select(['owner_id', 'micros']).execute()
    for (const owner_id of [payer.userId, payer.keyId])
      expect(spent).toContainEqual({ owner_id, micros: cost })
    expect(await cluster.findViolations()).toEqual([])
  })
})
