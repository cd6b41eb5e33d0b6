import type { Tx } from '../../db/client.ts'
import { insertEvents, type NewEvent } from './events.repo.ts'

/** Adds events to a generation, and wakes whoever waits for it in any process once they are committed. */
export async function tell(tx: Tx, id: string, events: readonly NewEvent[]): Promise<void> {
  const last = events.at(-1)
  if (last === undefined) return
  await insertEvents(tx, id, events, [
    { topic: 'generation', id, event: last.type },
    ...(last.type === 'queued' ? [{ topic: 'queue' } as const] : []),
  ])
}
