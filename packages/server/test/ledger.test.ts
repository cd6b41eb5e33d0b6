import { MODELS } from '@nanobanana/shared'
import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findViolations } from '../src/check/check.ts'
import { endFailed, endSurely } from '../src/features/generations/ending.ts'
import { remove } from '../src/features/generations/generations.service.ts'
import type { Job } from '../src/features/generations/making.ts'
import type { Result } from '../src/features/generations/result.ts'
import { recoverAbandoned } from '../src/features/generations/recovering.ts'
import { newRun } from '../src/features/generations/running.ts'
import { NO_TOKENS } from '../src/features/generations/tokens.ts'
import { start } from '../src/features/generations/starting.ts'
import { priceMicros } from '../src/features/usage/price.ts'
import { AppError } from '../src/kernel/app-error.ts'
import { idOf, newUuid, parseId } from '../src/kernel/ids.ts'
import type { Principal } from '../src/kernel/principal.ts'
import type { TokenUsage } from '../src/ports/image-provider.ts'
import type { TestApp } from './harness.ts'
import { createWorld } from './world.ts'

let app: TestApp
beforeAll(async () => {
  app = await createWorld()
})
afterAll(() => app[Symbol.asyncDispose]())

const model = MODELS[0]!
const db = () => app.database.handle.db

/** Who pays, and what may be spent: micro-dollars, or null. */
interface Payer {
  readonly principal: Principal
  readonly mode: 'live' | 'test'
}

/** A generation as a person with paper and pencil would keep it. */
interface Kept {
  readonly id: string
  readonly payer: Payer
  run: Job['run']
  attempt: number
  status: 'running' | 'failed' | 'succeeded' | 'deleted'
  /** Of the attempt that runs, or the price of a success. */
  micros: number
}

interface Model {
  readonly kept: Kept[]
  /** Of accounts and keys. */
  readonly limits: Map<string, number | null>
}

interface Real {
  readonly payers: readonly Payer[]
}

const ownersOf = ({ principal, mode }: Payer): string[] => {
  if (mode === 'test') return []
  return principal.kind === 'key' ? [principal.userId, principal.keyId] : [principal.userId]
}

const spentBy = ({ kept }: Model, owner: string): number =>
  kept
    .filter(({ payer, status }) => ownersOf(payer).includes(owner) && status !== 'failed')
    .reduce((sum, { micros }) => sum + micros, 0)

const fits = (state: Model, payer: Payer, micros: number): boolean =>
  ownersOf(payer).every((owner) => {
    const limit = state.limits.get(owner) ?? null
    return limit === null || spentBy(state, owner) + micros <= limit
  })

const paidOf = ({ id, payer: { principal, mode }, attempt }: Kept): Job['paid'] => ({
  userId: principal.userId,
  keyId: principal.kind === 'key' ? principal.keyId : null,
  generationId: id,
  attempt,
  mode,
  model,
})

const claimOf = ({ id, payer: { principal } }: Kept) => ({
  userId: principal.userId,
  scope: principal.kind === 'key' ? principal.keyId : 'session',
  key: id,
  fingerprint: new Uint8Array(32),
})

const jobOf = (kept: Kept): Job => ({
  id: kept.id,
  paid: paidOf(kept),
  prompt: 'x',
  images: [],
  model,
  mode: kept.payer.mode,
  aspectRatio: undefined,
  size: '1K',
  n: 1,
  outputFormat: undefined,
  outputQuality: undefined,
  seed: undefined,
  thinkingLevel: undefined,
  run: kept.run,
})

const resultWith = (usage: TokenUsage): Result => ({
  images: [],
  text: null,
  usage,
  wasted: NO_TOKENS,
  warnings: [],
})

/** Begins an attempt; whether money and limits allowed it. */
async function begin(kept: Kept, failed: Kept | undefined, micros: number): Promise<boolean> {
  const { principal, mode } = kept.payer
  const paid = paidOf(kept)
  const row = {
    id: kept.id,
    user_id: paid.userId,
    key_id: paid.keyId,
    mode,
    model: model.id,
    prompt: 'x',
    aspect_ratio: null,
    size: '1K',
    n: 1,
    input_images: 0,
    output_format: null,
    output_quality: null,
    seed: null,
    thinking_level: null,
    parent_id: null,
    metadata: {},
    end_user: null,
  }
  try {
    const estimate = mode === 'live' ? micros : 0
    const claim = claimOf(kept)
    kept.run = newRun()
    await start(app.service.deps, principal, {
      row,
      failed,
      claim,
      job: paid,
      estimate,
      run: kept.run.owner,
      detached: false,
      kept: [],
    })
    return true
  } catch (error) {
    if (error instanceof AppError && error.code === 'budget_exceeded') return false
    throw error
  }
}

const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % list.length]
const withStatus = ({ kept }: Model, status: Kept['status'], n: number): Kept | undefined =>
  pick(
    kept.filter((one) => one.status === status),
    n,
  )

type Command = fc.AsyncCommand<Model, Real>
const command = (
  name: string,
  can: (model: Model) => boolean,
  run: (model: Model, real: Real) => Promise<void>,
): Command => ({ check: can, run, toString: () => name })

const reserve = (n: number, micros: number) =>
  command(
    `reserve(${n}, ${micros})`,
    () => true,
    async (state, { payers }) => {
      const payer = pick(payers, n)!
      const run = newRun()
      const kept: Kept = { id: newUuid(), payer, run, attempt: 1, status: 'running', micros }
      const expected = fits(state, payer, micros)
      expect(await begin(kept, undefined, micros)).toBe(expected)
      if (expected) state.kept.push(kept)
    },
  )

const retry = (n: number, micros: number) =>
  command(
    `retry(${n}, ${micros})`,
    (state) => withStatus(state, 'failed', n) !== undefined,
    async (state) => {
      const failed = withStatus(state, 'failed', n)!
      const next: Kept = { ...failed, attempt: failed.attempt + 1, status: 'running', micros }
      const expected = fits(state, failed.payer, micros)
      expect(await begin(next, failed, micros)).toBe(expected)
      if (expected) Object.assign(failed, next)
    },
  )

const settle = (n: number, usage: TokenUsage) =>
  command(
    `settle(${n})`,
    (state) => withStatus(state, 'running', n) !== undefined,
    async (state) => {
      const kept = withStatus(state, 'running', n)!
      const ended = await endSurely(app.service.deps, jobOf(kept), resultWith(usage))
      const micros = kept.payer.mode === 'live' ? priceMicros(usage, model.prices) : 0
      expect(ended?.row.cost_micros).toBe(micros)
      Object.assign(kept, { status: 'succeeded', micros })
    },
  )

const fail = (n: number, how: 'error' | 'lease') =>
  command(
    `fail(${n}, ${how})`,
    (state) => withStatus(state, 'running', n) !== undefined,
    async (state) => {
      const kept = withStatus(state, 'running', n)!
      if (how === 'error') {
        await endFailed(
          app.service.deps,
          jobOf(kept),
          resultWith(NO_TOKENS),
          new AppError('no_image'),
        )
      } else {
        await sql`update generations set lease_expires_at = now() - interval '1 second'
        where id = ${kept.id}`.execute(db())
        expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
        // What comes too late changes nothing.
        const late = await endSurely(app.service.deps, jobOf(kept), resultWith(NO_TOKENS))
        expect(late).toBeUndefined()
      }
      kept.status = 'failed'
    },
  )

const forget = (n: number) =>
  command(
    `delete(${n})`,
    (state) => withStatus(state, 'succeeded', n) !== undefined,
    async (state) => {
      const kept = withStatus(state, 'succeeded', n)!
      await remove(app.service.deps, kept.payer.principal, idOf('gen', kept.id))
      kept.status = 'deleted'
    },
  )

const limit = (n: number, micros: number | null) =>
  command(
    `limit(${n}, ${micros})`,
    () => true,
    async (state, { payers }) => {
      const { principal } = pick(payers, n)!
      const owner = principal.kind === 'key' ? principal.keyId : principal.userId
      const table = sql.table(principal.kind === 'key' ? 'api_keys' : 'users')
      await sql`update ${table} set monthly_limit_micros = ${micros}::bigint
      where id = ${owner}`.execute(db())
      state.limits.set(owner, micros)
    },
  )

async function createPayers(): Promise<Payer[]> {
  const [user, other] = [await app.register(), await app.register()]
  const keys = [
    await app.createKey(user, { mode: 'live' }),
    await app.createKey(user, { mode: 'live' }),
    await app.createKey(user),
    await app.createKey(other, { mode: 'live' }),
  ]
  const userId = parseId('user', user.id)!
  const limits = { requestsPerMinute: null, maxConcurrency: null }
  const session = {
    kind: 'session',
    userId,
    jti: '',
    tokenVersion: 1,
    expiresAt: new Date(),
  } as const
  return [
    { principal: session, mode: 'live' },
    ...keys.map(({ id }, n): Payer => {
      const mode = n === 2 ? 'test' : 'live'
      const owner = n === 3 ? parseId('user', other.id)! : userId
      const keyId = parseId('key', id)!
      return {
        mode,
        principal: { kind: 'key', userId: owner, keyId, mode, scopes: ['generate'], ...limits },
      }
    }),
  ]
}

const count = fc.nat({ max: 5000 })
const usage = fc.record({ inputTokens: count, textOutputTokens: count, imageOutputTokens: count })
const n = fc.nat({ max: 20 })
const micros = fc.nat({ max: 100_000 })

test('property: no sequence of attempts and ends makes ledger, counters and sums disagree', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.commands(
        [
          fc.tuple(n, micros).map(([one, amount]) => reserve(one, amount)),
          fc.tuple(n, micros).map(([one, amount]) => retry(one, amount)),
          fc.tuple(n, usage).map(([one, tokens]) => settle(one, tokens)),
          fc.tuple(n, fc.constantFrom('error', 'lease')).map(([one, how]) => fail(one, how)),
          n.map(forget),
          fc
            .tuple(n, fc.option(fc.nat({ max: 300_000 })))
            .map(([one, amount]) => limit(one, amount)),
        ],
        { maxCommands: 30, size: 'max' },
      ),
      async (commands) => {
        const state: Model = { kept: [], limits: new Map() }
        const payers = await createPayers()
        await fc.asyncModelRun(() => ({ model: state, real: { payers } }), commands)
        expect(await findViolations(db(), app.service.deps.objectStore)).toEqual([])
        for (const owner of new Set(payers.flatMap(ownersOf))) {
          const row = await db()
            .selectFrom('spending')
            .select('micros')
            .where('owner_id', '=', owner)
            .executeTakeFirst()
          expect(row?.micros ?? 0).toBe(spentBy(state, owner))
        }
      },
    ),
    { numRuns: 8 },
  )
})
