import { MAX_SHOWN_ATTEMPTS, type WebhookEvent } from '@nanobanana/shared'
import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { WebhookAttemptsTable, WebhookDeliveriesTable } from '../../db/schema.ts'

export type DeliveryRow = Selectable<WebhookDeliveriesTable>
export type AttemptRow = Selectable<WebhookAttemptsTable>

/** An end of a generation, or of one attempt of it: a failed one may run again and end once more. */
export interface EndedGeneration {
  readonly userId: string
  readonly generationId: string
  readonly attempt: number
  readonly event: WebhookEvent
}

/** A UUIDv7 for each row of a statement that does not know how many it writes. */
const newId = sql<string>`encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
  placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
  from 1 for 6), 52, 1), 53, 1), 'hex')::uuid`

/** A delivery to each endpoint that is told of the event. */
export async function insertDeliveries(
  tx: Tx,
  { userId, generationId, attempt, event }: EndedGeneration,
): Promise<void> {
  await sql`
    insert into webhook_deliveries
      (id, webhook_id, generation_id, generation_attempt, type, next_attempt_at)
    select ${newId}, id, ${generationId}, ${attempt}, ${event}, now()
    from webhooks
    where user_id = ${userId} and deleted_at is null and disabled_at is null
      and ${event} = any (events)
    on conflict do nothing`.execute(tx)
}

export async function findDelivery(
  db: Db | Tx,
  webhookId: string,
  id: string,
): Promise<DeliveryRow | undefined> {
  return db
    .selectFrom('webhook_deliveries')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('id', '=', id)
    .executeTakeFirst()
}

export async function listDeliveries(
  db: Db,
  webhookId: string,
  page: { limit: number; before: string | undefined },
): Promise<DeliveryRow[]> {
  let query = db
    .selectFrom('webhook_deliveries')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .orderBy('id', 'desc')
    .limit(page.limit)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  return query.execute()
}

/** The last attempts of each of the deliveries, newest first. */
export async function listAttempts(db: Db, deliveryIds: readonly string[]): Promise<AttemptRow[]> {
  const { rows } = await sql<AttemptRow>`
    select a.* from unnest(${deliveryIds}::uuid[]) as d (id)
    cross join lateral (
      select * from webhook_attempts where delivery_id = d.id
      order by number desc limit ${MAX_SHOWN_ATTEMPTS}::int
    ) a`.execute(db)
  return rows
}

/**
 * Makes a delivery due at once, with its whole schedule before it; undefined while an attempt is under
 * way, and for one that is not there.
 */
export async function resetDelivery(
  tx: Tx,
  webhookId: string,
  id: string,
): Promise<DeliveryRow | undefined> {
  return tx
    .updateTable('webhook_deliveries')
    .set({
      status: 'pending',
      step: 0,
      next_attempt_at: sql<Date>`now()`,
      lease_expires_at: null,
      ended_at: null,
      touched_at: sql<Date>`now()`,
    })
    .where('webhook_id', '=', webhookId)
    .where('id', '=', id)
    .where(sql<boolean>`coalesce(lease_expires_at <= now(), true)`)
    .returningAll()
    .executeTakeFirst()
}

/** How many wait for a try, and for how long the one that is overdue the longest has been so. */
export async function countWaiting(db: Db): Promise<{ waiting: number; oldestSeconds: number }> {
  return db
    .selectFrom('webhook_deliveries')
    .select([
      sql<number>`count(*)::int`.as('waiting'),
      sql<number>`greatest(coalesce(extract(epoch from now() - min(next_attempt_at)), 0), 0)::float8`.as(
        'oldestSeconds',
      ),
    ])
    .where('next_attempt_at', 'is not', null)
    .executeTakeFirstOrThrow()
}

const RETENTION_DAYS = 30

/** Removes deliveries that nothing has happened to for so long, or whose endpoint was deleted. */
export async function deleteOldDeliveries(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from webhook_deliveries where id in (
      select id from webhook_deliveries
      where touched_at < now() - make_interval(days => ${RETENTION_DAYS}::int)
      order by touched_at limit ${limit}::int for update skip locked
    ) returning id`.execute(db)
  return rows.length
}

export async function deleteDeliveriesOfDeleted(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from webhook_deliveries where id in (
      select d.id from webhooks w join webhook_deliveries d on d.webhook_id = w.id
      where w.deleted_at is not null
      limit ${limit}::int for update of d skip locked
    ) returning id`.execute(db)
  return rows.length
}

/** Those whose deliveries are gone. */
export async function deleteBuriedWebhooks(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from webhooks where id in (
      select id from webhooks w
      where deleted_at is not null
        and not exists (select from webhook_deliveries d where d.webhook_id = w.id)
      limit ${limit}::int for update skip locked
    ) returning id`.execute(db)
  return rows.length
}
