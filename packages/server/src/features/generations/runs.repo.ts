import type { Warning } from '@nanobanana/shared'
import { sql, type UpdateQueryBuilder, type UpdateResult } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { Database, StoredError } from '../../db/schema.ts'
import type { Leases } from '../../kernel/deps.ts'
import type { GenerationRow } from './generations.repo.ts'

/** Who holds a generation, and for how long. */
export interface Lease {
  owner: string
  seconds: number
}

/** By the database's clock. */
export const leaseEnd = ({ seconds }: Pick<Lease, 'seconds'>) =>
  sql<Date>`now() + make_interval(secs => ${seconds}::int)`

/** What a run's row says. */
export const heldBy = (lease: Lease) => ({
  status: 'running' as const,
  lease_owner: lease.owner,
  lease_expires_at: leaseEnd(lease),
})

/** What the row of one that waits says. */
export const waiting = { status: 'queued' as const, lease_owner: null, lease_expires_at: null }

/** The place of whoever is next; null where nobody waits. */
export const firstTag = sql`(select min(queue_tag) from generations where status = 'queued')`

export const oneMoreRun = sql<number>`runs + 1`

export async function setRunning(tx: Tx, id: string, lease: Lease): Promise<void> {
  await tx
    .updateTable('generations')
    .set({ ...heldBy(lease), runs: oneMoreRun })
    .where('id', '=', id)
    .execute()
}

/**
 * Sends one back to the queue that a run has left, to its old place; undefined when it did not.
 * `called`: the provider may bill what the run had set aside.
 */
export async function setQueued(
  tx: Tx,
  run: Run,
  options: Abandoned & { called: boolean },
): Promise<GenerationRow | undefined> {
  const update = tx.updateTable('generations').set({
    ...waiting,
    queue_tag: sql<number>`coalesce(queue_tag, ${firstTag}, 1)`,
    ...(options.called ? mayBeBilled : {}),
  })
  return ofAbandoned(update, run, options)
}

/** Marks one that runs as to be finished by whoever can; false where it is marked already. */
export async function setDetached(tx: Tx, run: Run): Promise<boolean> {
  const update = tx.updateTable('generations').set({ detached: true }).where('detached', '=', false)
  return (await ofRun(update, run)) !== undefined
}

/** Takes one that runs from its run, for whoever comes next; false when something else ended it. */
export async function leaveRun(tx: Tx, run: Run, seconds: number): Promise<boolean> {
  const update = tx.updateTable('generations').set({
    lease_owner: sql<string>`gen_random_uuid()`,
    lease_expires_at: leaseEnd({ seconds }),
  })
  return (await ofRun(update, run)) !== undefined
}

/** One run of a generation; writes about it from any other are refused. */
export interface Run {
  id: string
  attempt: number
  /** Null only where nobody ever held it. */
  owner: string | null
}

export interface Success {
  text: string | null
  warnings: Warning[]
  input_tokens: number
  output_tokens: number
  cost_micros: number
  upstream_cost_micros: number
}

/** Ends a generation that still runs; undefined when something else ended or removed it. */
export async function succeed(
  tx: Tx,
  run: Run,
  result: Success,
): Promise<GenerationRow | undefined> {
  return ofRun(
    tx.updateTable('generations').set({
      ...result,
      warnings: JSON.stringify(result.warnings),
      upstream_cost_micros: plusUpstream(result.upstream_cost_micros),
      status: 'succeeded',
      ...ended,
    }),
    run,
  )
}

/** Ends it as failed; `upstreamCostMicros`: what the provider may bill us all the same. */
export async function fail(
  tx: Tx,
  run: Run,
  error: StoredError,
  upstreamCostMicros: number,
): Promise<GenerationRow | undefined> {
  return ofRun(
    tx.updateTable('generations').set({
      status: 'failed',
      error: JSON.stringify(error),
      upstream_cost_micros: plusUpstream(upstreamCostMicros),
      ...ended,
    }),
    run,
  )
}

/** Ends one that has not ended, whoever runs it; `undefined` when it has. */
export async function cancel(tx: Tx, id: string): Promise<GenerationRow | undefined> {
  return tx
    .updateTable('generations')
    .set({ status: 'canceled', ...mayBeBilled, ...ended })
    .where('id', '=', id)
    .where('status', 'in', ['queued', 'running'])
    .returningAll()
    .executeTakeFirst()
}

/** An abort does not stop the provider's bill, and of a process that died nobody knows. */
const mayBeBilled = {
  upstream_cost_micros: sql<number>`upstream_cost_micros
    + case status when 'running' then reserved_micros else 0 end`,
}

/** Of earlier attempts too. */
const plusUpstream = (micros: number) => sql<number>`upstream_cost_micros + ${micros}::bigint`

const ended = { lease_owner: null, lease_expires_at: null, completed_at: sql<Date>`now()` }

type GenerationsUpdate = UpdateQueryBuilder<Database, 'generations', 'generations', UpdateResult>

const ofRun = (
  update: GenerationsUpdate,
  { id, attempt, owner }: Run,
): Promise<GenerationRow | undefined> =>
  update
    .where('id', '=', id)
    .where('status', '=', 'running')
    .where('attempt', '=', attempt)
    .where('lease_owner', owner === null ? 'is' : '=', owner)
    .returningAll()
    .executeTakeFirst()

/**
 * Puts off the end of the leases of what a process runs. What is locked is being ended or deleted, and
 * must not keep the others waiting.
 */
export async function renewLeases(db: Db, { held, seconds }: Leases): Promise<void> {
  await db
    .updateTable('generations')
    .set({ lease_expires_at: leaseEnd({ seconds }) })
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('generations')
        .select('id')
        .where('id', 'in', [...held.keys()])
        .where(
          'lease_owner',
          'in',
          [...held.values()].map(({ owner }) => owner),
        )
        .where('status', '=', 'running')
        .forNoKeyUpdate()
        .skipLocked(),
    )
    .execute()
}

/** Ends the leases of what a process runs, so that another may take it over. */
export async function endLeases(db: Db, held: Leases['held']): Promise<void> {
  if (held.size === 0) return
  await db
    .updateTable('generations')
    .set({ lease_expires_at: sql<Date>`now()` })
    .where('id', 'in', [...held.keys()])
    .where(
      'lease_owner',
      'in',
      [...held.values()].map(({ owner }) => owner),
    )
    .where('status', '=', 'running')
    .execute()
}

/** Which runs count as left: `all`, or those past their lease. */
export interface Abandoned {
  all: boolean
}

export interface AbandonedRun extends Run {
  detached: boolean
  /** Runs of the attempts so far. */
  runs: number
}

/** What runs without a living process; a thousand at most, beside those named. */
export async function listAbandoned(
  db: Db,
  options: Abandoned & { beside: readonly string[] },
): Promise<AbandonedRun[]> {
  let query = db
    .selectFrom('generations')
    .select(['id', 'attempt', 'lease_owner', 'detached', 'runs'])
    .where('status', '=', 'running')
  if (!options.all) query = query.where('lease_expires_at', '<', sql<Date>`now()`)
  if (options.beside.length > 0) query = query.where('id', 'not in', options.beside)
  const rows = await query.limit(1000).execute()
  return rows.map(({ lease_owner, ...row }) => ({ ...row, owner: lease_owner }))
}

/**
 * Ends such a one as failed, if nobody has renewed its lease meanwhile, nor a repeat been told to come
 * back for it.
 */
export async function failAbandoned(
  tx: Tx,
  run: AbandonedRun,
  error: StoredError,
  options: Abandoned,
): Promise<GenerationRow | undefined> {
  const update = tx
    .updateTable('generations')
    .set({ status: 'failed', error: JSON.stringify(error), ...mayBeBilled, ...ended })
    .where('detached', '=', run.detached)
  return ofAbandoned(update, run, options)
}

function ofAbandoned(
  update: GenerationsUpdate,
  run: Run,
  options: Abandoned,
): Promise<GenerationRow | undefined> {
  const left = options.all ? update : update.where('lease_expires_at', '<', sql<Date>`now()`)
  return ofRun(left, run)
}

/** Generations of a key that run, beside the one named. */
export async function countRunning(tx: Tx, keyId: string, beside: string): Promise<number> {
  const row = await tx
    .selectFrom('generations')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('key_id', '=', keyId)
    .where('status', '=', 'running')
    .where('id', '!=', beside)
    .executeTakeFirstOrThrow()
  return row.count
}
