import type { WebhookDisabledReason, WebhookEvent } from '@nanobanana/shared'
import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { WebhooksTable } from '../../db/schema.ts'

export type WebhookRow = Selectable<WebhooksTable>

export interface NewWebhook {
  id: string
  user_id: string
  url: string
  events: WebhookEvent[]
  description: string | null
}

const now = sql<Date>`now()`

const selectWebhooks = (db: Db | Tx, userId: string) =>
  db
    .selectFrom('webhooks')
    .selectAll()
    .where('user_id', '=', userId)
    .where('deleted_at', 'is', null)

export const findWebhook = (
  db: Db | Tx,
  userId: string,
  id: string,
): Promise<WebhookRow | undefined> =>
  selectWebhooks(db, userId).where('id', '=', id).executeTakeFirst()

/** Keeps an endpoint from other changes while the transaction lasts. */
export const lockWebhook = (tx: Tx, userId: string, id: string): Promise<WebhookRow | undefined> =>
  selectWebhooks(tx, userId).where('id', '=', id).forNoKeyUpdate().executeTakeFirst()

export async function listWebhooks(
  db: Db,
  userId: string,
  page: { limit: number; before: string | undefined },
): Promise<WebhookRow[]> {
  let query = selectWebhooks(db, userId).orderBy('id', 'desc').limit(page.limit)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  return query.execute()
}

export async function countWebhooks(tx: Tx, userId: string): Promise<number> {
  const row = await tx
    .selectFrom('webhooks')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('user_id', '=', userId)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return row.count
}

export const insertWebhook = (tx: Tx, row: NewWebhook): Promise<WebhookRow> =>
  tx.insertInto('webhooks').values(row).returningAll().executeTakeFirstOrThrow()

export interface WebhookChanges {
  url?: string
  events?: WebhookEvent[]
  description?: string | null
  disabled?: boolean
}

/** Undefined when the account has no such endpoint. */
export async function updateWebhook(
  tx: Tx,
  userId: string,
  id: string,
  { disabled, ...changes }: WebhookChanges,
): Promise<WebhookRow | undefined> {
  const isOther = disabled !== undefined || changes.events !== undefined
  return tx
    .updateTable('webhooks')
    .set({
      ...changes,
      ...(isOther ? { subscribed_at: now } : {}),
      ...(changes.url === undefined ? {} : { failing_since: null }),
      ...(disabled === undefined ? {} : disabled ? disabledByUser : enabled),
    })
    .where('user_id', '=', userId)
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
}

const enabled = { disabled_at: null, disabled_reason: null, failing_since: null }
/** Of one that is disabled already the reason stays. */
const disabledByUser = {
  disabled_at: sql<Date>`coalesce(disabled_at, now())`,
  disabled_reason: sql<WebhookDisabledReason>`coalesce(disabled_reason, 'user')`,
}

/** Forgets an endpoint; its deliveries are left to the sweeper. False when there is none. */
export async function buryWebhook(tx: Tx, userId: string, id: string): Promise<boolean> {
  const row = await tx
    .updateTable('webhooks')
    .set({ deleted_at: now, url: '', description: null })
    .where('user_id', '=', userId)
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returning('id')
    .executeTakeFirst()
  await tx
    .deleteFrom('webhook_secrets')
    .where('webhook_id', '=', row?.id ?? null)
    .execute()
  return row !== undefined
}

/** Removes an account's endpoints with their secrets and deliveries; answers their ids. */
export async function deleteWebhooksOfUser(tx: Tx, userId: string): Promise<string[]> {
  // Many deliveries take longer than a request's statement may.
  await sql`set local statement_timeout = 0`.execute(tx)
  const rows = await tx
    .deleteFrom('webhooks')
    .where('user_id', '=', userId)
    .returning('id')
    .execute()
  return rows.map(({ id }) => id)
}

export interface NewSecret {
  id: string
  webhook_id: string
  sealed: Uint8Array
}

export async function insertSecret(tx: Tx, secret: NewSecret): Promise<void> {
  await tx
    .insertInto('webhook_secrets')
    .values({ ...secret, expires_at: null })
    .execute()
}

/** Ends the secrets of an endpoint: the newest signs on for the grace, an older one not any more. */
export async function retireSecrets(
  tx: Tx,
  webhookId: string,
  graceSeconds: number,
): Promise<void> {
  const all = tx.deleteFrom('webhook_secrets').where('webhook_id', '=', webhookId)
  if (graceSeconds === 0) {
    await all.execute()
    return
  }
  await all.where('expires_at', 'is not', null).execute()
  await tx
    .updateTable('webhook_secrets')
    .set({ expires_at: sql<Date>`now() + make_interval(secs => ${graceSeconds}::int)` })
    .where('webhook_id', '=', webhookId)
    .execute()
}

/** Secrets that sign now, the newest first. */
export async function listSecrets(db: Db, webhookId: string): Promise<Uint8Array[]> {
  const rows = await db
    .selectFrom('webhook_secrets')
    .select('sealed')
    .where('webhook_id', '=', webhookId)
    .where(sql<boolean>`coalesce(expires_at > now(), true)`)
    .orderBy(sql`expires_at is null`, 'desc')
    .execute()
  return rows.map(({ sealed }) => sealed)
}

export interface SealedSecret {
  id: string
  webhook_id: string
  sealed: Uint8Array
}

/** Secrets that begin with one of the marks. */
export async function listMarkedSecrets(
  db: Db,
  marks: readonly Uint8Array[],
  limit: number,
): Promise<SealedSecret[]> {
  return db
    .selectFrom('webhook_secrets')
    .select(['id', 'webhook_id', 'sealed'])
    .where(sql<Uint8Array>`substring(sealed from 1 for 5)`, 'in', marks)
    .limit(limit)
    .execute()
}

export async function replaceSealed(
  db: Db,
  { id, sealed }: SealedSecret,
  fresh: Uint8Array,
): Promise<void> {
  await db
    .updateTable('webhook_secrets')
    .set({ sealed: fresh })
    .where('id', '=', id)
    .where('sealed', '=', sealed)
    .execute()
}
