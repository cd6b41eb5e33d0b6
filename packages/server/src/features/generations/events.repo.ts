import { type Selectable, sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import { notify, type Notification } from '../../db/notify.ts'
import type { GenerationEventsTable, GenerationEventType } from '../../db/schema.ts'

export type EventRow = Selectable<GenerationEventsTable>

export interface NewEvent {
  readonly type: GenerationEventType
  /** Of an image. */
  readonly position?: number
}

/** Events are kept this long. */
export const RETENTION_HOURS = 24

/**
 * Numbers them on, and notifies. The generation's row is locked, so two transactions cannot take one
 * number.
 */
export async function insertEvents(
  tx: Tx,
  generationId: string,
  events: readonly NewEvent[],
  notifications: readonly Notification[],
): Promise<void> {
  await sql`
    with inserted as (
    insert into generation_events (generation_id, sequence, type, position)
    select ${generationId}, last + place, type, position
    from (select coalesce(max(sequence), 0) as last from generation_events
      where generation_id = ${generationId}) as earlier,
    unnest(
      ${events.map(({ type }) => type)}::text[],
      ${events.map(({ position }) => position ?? null)}::int[]
    ) with ordinality as added (type, position, place))
    ${notify(notifications)}`.execute(tx)
}

/** Those after a number, in their order. */
export async function listEvents(db: Db, generationId: string, after: number): Promise<EventRow[]> {
  return db
    .selectFrom('generation_events')
    .selectAll()
    .where('generation_id', '=', generationId)
    .where('sequence', '>', after)
    .orderBy('sequence')
    .execute()
}

export async function deleteOldEvents(db: Db, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from generation_events where (generation_id, sequence) in (
      select generation_id, sequence from generation_events
      where created_at < now() - make_interval(hours => ${RETENTION_HOURS}::int)
      limit ${limit}::int for update skip locked
    ) returning sequence`.execute(db)
  return rows.length
}
