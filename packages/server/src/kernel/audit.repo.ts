import { sql } from 'kysely'
import type { Db, Tx } from '../db/client.ts'
import type { AuditAction } from '../db/schema.ts'

/** Ids and words of ours only: never a secret, an address or anything else that somebody typed. */
export interface AuditEvent {
  readonly action: AuditAction
  readonly userId?: string
  readonly keyId?: string
  readonly webhookId?: string
  /** Why something was refused, or what of it changed. */
  readonly detail?: string
}

/** Adds a row for each event, in the transaction in which they happen. */
export async function recordEvents(db: Db | Tx, events: readonly AuditEvent[]): Promise<void> {
  if (events.length > 0) await db.insertInto('audit').values(events.map(rowOf)).execute()
}

export const recordEvent = (db: Db | Tx, event: AuditEvent): Promise<void> =>
  recordEvents(db, [event])

/**
 * For what a stranger can repeat at will, which must not fill the table: a row at most once in each
 * minute of the same action, ids and detail, over all processes.
 */
export async function recordOnceAMinute(db: Db, event: AuditEvent): Promise<void> {
  await db
    .insertInto('audit')
    .values({ ...rowOf(event), minute: sql<Date>`date_trunc('minute', now())` })
    // No columns: naming them would take the right to read the table.
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

const rowOf = ({ action, userId, keyId, webhookId, detail }: AuditEvent) => ({
  action,
  user_id: userId ?? null,
  key_id: keyId ?? null,
  webhook_id: webhookId ?? null,
  detail: detail ?? null,
})
