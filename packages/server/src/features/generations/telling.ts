import type { Tx } from '../../db/client.ts'
import * as webhooks from '../webhooks/webhooks.service.ts'
import { insertEvents, type NewEvent } from './events.repo.ts'
import type { GenerationRow } from './generations.repo.ts'

/**
 * Adds events to a generation, wakes whoever waits for it in any process once they are committed, and
 * writes down whom a webhook tells of its end.
 */
export async function tell(
  tx: Tx,
  { id, user_id, attempt }: Pick<GenerationRow, 'id' | 'user_id' | 'attempt'>,
  events: readonly NewEvent[],
): Promise<void> {
  const last = events.at(-1)?.type
  if (last === undefined) return
  await insertEvents(tx, id, events, [
    { topic: 'generation', id, event: last },
    ...(last === 'queued' ? [{ topic: 'queue' } as const] : []),
  ])
  if (last !== 'succeeded' && last !== 'failed' && last !== 'canceled') return
  const event = `generation.${last}` as const
  await webhooks.enqueue(tx, { userId: user_id, generationId: id, attempt, event })
}
