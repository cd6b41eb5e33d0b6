import { type RawBuilder, sql } from 'kysely'

/** What one process tells all of them, once a transaction is committed; no more than where to look. */
export type Notification =
  /** Something was added to the queue. */
  | { readonly topic: 'queue' }
  /** A generation has a further event. */
  | { readonly topic: 'generation'; readonly id: string; readonly event: string }

/** One for all: a process listens on one connection. */
export const CHANNEL = 'nanobanana'

/** A query that notifies, to stand alone or behind `with`. */
export const notify = (notifications: readonly Notification[]): RawBuilder<unknown> =>
  sql`select pg_notify(${CHANNEL}, message)
    from unnest(${notifications.map(format)}::text[]) as message`

const format = (notification: Notification): string =>
  notification.topic === 'queue' ? 'queue' : `generation ${notification.id} ${notification.event}`

/** Undefined for what a later version may send. */
export function parseNotification(payload: string): Notification | undefined {
  const [topic, id, event] = payload.split(' ')
  if (topic === 'queue') return { topic }
  if (topic !== 'generation' || id === undefined || event === undefined) return undefined
  return { topic, id, event }
}
