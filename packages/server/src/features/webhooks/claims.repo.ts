import type { DeliveryError, DeliveryType, WebhookDisabledReason } from '@nanobanana/shared'
import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'

/** Attempts under way at once to one endpoint, over all processes. */
export const MAX_IN_FLIGHT = 4
/** Longer than an attempt may take, with what stands before and after it. */
const LEASE_SECONDS = 60
/** Endpoints that one look takes up. */
const MAX_ENDPOINTS = 200

const leaseEnd = sql<Date>`now() + make_interval(secs => ${LEASE_SECONDS}::int)`

/** An attempt that is this process's to make. */
export interface Claimed {
  id: string
  webhook_id: string
  user_id: string
  url: string
  /** Null for a test. */
  generation_id: string | null
  type: DeliveryType
  /** Number of the attempt, and what tells this claim from every other of the delivery. */
  attempt: number
  step: number
  created_at: Date
  /** By the database's clock. */
  claimed_at: Date
}

/**
 * Endpoints of which something is due and which have a place left, the one that waits longest first.
 * `failing`: those whose last attempt failed, or the others. Steps from endpoint to endpoint, so that
 * it reads as much of one for which a hundred thousand wait as of one for which a single one does.
 */
export async function listDueWebhooks(db: Db, failing: boolean): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with recursive pending as (
      (select webhook_id from webhook_deliveries where next_attempt_at is not null
        order by webhook_id limit 1)
      union all
      select (
        select d.webhook_id from webhook_deliveries d
        where d.next_attempt_at is not null and d.webhook_id > p.webhook_id
        order by d.webhook_id limit 1
      )
      from pending p where p.webhook_id is not null
    )
    select w.id from pending p
    join webhooks w on w.id = p.webhook_id
    cross join lateral (
      select next_attempt_at from webhook_deliveries
      where webhook_id = w.id and next_attempt_at <= now()
      order by next_attempt_at limit 1
    ) due
    where w.disabled_at is null and w.deleted_at is null
      and (w.failing_since is not null) = ${failing}::boolean
      and ${inFlight(sql`w.id`)} < ${MAX_IN_FLIGHT}::int
    order by due.next_attempt_at limit ${MAX_ENDPOINTS}::int`.execute(db)
  return rows.map(({ id }) => id)
}

const inFlight = (webhookId: ReturnType<typeof sql>) => sql`(
  select count(*) from webhook_deliveries l
  where l.webhook_id = ${webhookId} and l.lease_expires_at > now()
)`

/** One process at a time counts what is under way to an endpoint; the others pass it by. */
export async function lockWebhooks(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const rows = await tx
    .selectFrom('webhooks')
    .select('id')
    .where('id', 'in', ids)
    .where('disabled_at', 'is', null)
    .where('deleted_at', 'is', null)
    // Generations that end meanwhile refer to the row; this lock lets them.
    .forNoKeyUpdate()
    .skipLocked()
    .execute()
  return rows.map(({ id }) => id)
}

/** Takes what is due of the locked endpoints, as many as each has places for and `limit` in all. */
export async function claimDeliveries(
  tx: Tx,
  webhookIds: readonly string[],
  limit: number,
): Promise<Claimed[]> {
  const { rows } = await sql<Claimed>`
    update webhook_deliveries d
    set attempts = d.attempts + 1, next_attempt_at = ${leaseEnd}, lease_expires_at = ${leaseEnd}
    from (
      select c.id from unnest(${webhookIds}::uuid[]) as e (id)
      cross join lateral (
        select id, row_number() over (order by next_attempt_at) as place from (
          select id, next_attempt_at from webhook_deliveries
          where webhook_id = e.id and next_attempt_at <= now()
          order by next_attempt_at
          limit greatest(0, ${MAX_IN_FLIGHT}::int - ${inFlight(sql`e.id`)})
          for update skip locked
        ) due
      ) c
      -- Each endpoint's first before any one's second.
      order by c.place limit ${limit}::int
    ) taken, webhooks w
    where d.id = taken.id and w.id = d.webhook_id
    returning d.id, d.webhook_id, w.user_id, w.url, d.generation_id, d.type, d.attempts as attempt,
      d.step, d.created_at, now() as claimed_at`.execute(tx)
  return rows
}

/** A delivery whose one attempt is this process's from the start. */
export async function insertClaimed(
  db: Db,
  delivery: { id: string; webhookId: string; type: DeliveryType; step: number },
): Promise<{ created_at: Date }> {
  return db
    .insertInto('webhook_deliveries')
    .values({
      id: delivery.id,
      webhook_id: delivery.webhookId,
      generation_id: null,
      generation_attempt: null,
      type: delivery.type,
      attempts: 1,
      step: delivery.step,
      next_attempt_at: leaseEnd,
      lease_expires_at: leaseEnd,
      ended_at: null,
    })
    .returning('created_at')
    .executeTakeFirstOrThrow()
}

export interface Attempt {
  durationMs: number
  statusCode: number | null
  error: DeliveryError | null
}

/** What becomes of a delivery. */
export type Mark =
  | { status: 'delivered' | 'failed' | 'dropped' }
  | { retryInSeconds: number; nextStep: number }

/** Writes what came of a claim; false when it is no longer this process's. */
export async function markDelivery(
  tx: Tx,
  { id, attempt }: Pick<Claimed, 'id' | 'attempt'>,
  mark: Mark,
): Promise<boolean> {
  const set =
    'status' in mark
      ? {
          status: mark.status,
          next_attempt_at: null,
          ended_at: sql<Date>`now()`,
          touched_at: sql<Date>`now()`,
        }
      : {
          step: mark.nextStep,
          next_attempt_at: sql<Date>`now() + make_interval(secs => ${mark.retryInSeconds}::float8)`,
        }
  const row = await tx
    .updateTable('webhook_deliveries')
    .set({ ...set, lease_expires_at: null })
    .where('id', '=', id)
    .where('attempts', '=', attempt)
    .where('status', '=', 'pending')
    .where('lease_expires_at', 'is not', null)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}

export async function insertAttempt(tx: Tx, claimed: Claimed, attempt: Attempt): Promise<void> {
  await tx
    .insertInto('webhook_attempts')
    .values({
      delivery_id: claimed.id,
      number: claimed.attempt,
      message_id: claimed.id,
      began_at: claimed.claimed_at,
      duration_ms: attempt.durationMs,
      status_code: attempt.statusCode,
      error: attempt.error,
    })
    .execute()
}

export async function noteSuccess(tx: Tx, webhookId: string): Promise<void> {
  await tx
    .updateTable('webhooks')
    .set({ failing_since: null })
    .where('id', '=', webhookId)
    .where('failing_since', 'is not', null)
    .execute()
}

const MAX_FAILING_DAYS = 5

/** True when the endpoint has done nothing but fail for so long. */
export async function noteFailure(tx: Tx, webhookId: string): Promise<boolean> {
  // Most of the time it fails already, and nothing need be written.
  const { rows } = await sql<{ is_hopeless: boolean }>`
    with noted as (
      update webhooks set failing_since = now() where id = ${webhookId} and failing_since is null
    )
    select coalesce(failing_since < now() - make_interval(days => ${MAX_FAILING_DAYS}::int), false)
      as is_hopeless
    from webhooks where id = ${webhookId}`.execute(tx)
  return rows[0]?.is_hopeless === true
}

/** False when it is disabled already. */
export async function disableWebhook(
  tx: Tx,
  webhookId: string,
  reason: WebhookDisabledReason,
): Promise<boolean> {
  const row = await tx
    .updateTable('webhooks')
    .set({ disabled_at: sql<Date>`now()`, disabled_reason: reason })
    .where('id', '=', webhookId)
    .where('disabled_at', 'is', null)
    .where('deleted_at', 'is', null)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}
