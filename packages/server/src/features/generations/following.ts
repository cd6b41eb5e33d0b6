import type { Generation, GenerationEvent } from '@nanobanana/shared'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as images from '../images/images.service.ts'
import { type EventRow, listEvents } from './events.repo.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { render } from './render.ts'
import { visibleTo } from './visible.ts'
import { hasEnded, openNews } from './waiting.ts'

type FollowDeps = Pick<Deps, 'db' | 'objectStore' | 'settings' | 'notifier'>

/** An event with its number, from which a later stream may go on. */
export interface Followed {
  readonly sequence: number
  readonly event: GenerationEvent
}

/** Between two looks that no message has asked for: one may be lost. */
const LOOK_MS = 2000

/**
 * The events of a generation after a number, as they come, in whatever process it runs, until it has
 * ended. One whose events are no longer kept is told by its end alone.
 */
export async function* follow(
  deps: FollowDeps,
  principal: Principal,
  id: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<Followed> {
  await using news = openNews(deps, id)
  let last = after
  let isEndTold = false
  while (!signal.aborted) {
    // The row before its events: what ended it is among them.
    const row = await findGeneration(deps.db, visibleTo(principal), id)
    if (row === undefined) return
    const rows = ofLastAttempt(await listEvents(deps.db, id, last))
    // It ended between the two: its end is told by the row as it is now.
    if (!hasEnded(row.status) && rows.some(({ type }) => isEnd(type))) continue
    const isKept = rows.length > 0 || isEndTold || !hasEnded(row.status)
    const told = isKept ? rows : [endOf(row, last)]
    for (const event of told) {
      yield { sequence: event.sequence, event: await eventOf(deps, row, event) }
      last = event.sequence
      isEndTold = isEnd(event.type)
    }
    if (hasEnded(row.status)) return
    if (rows.length === 0) await news.wait(LOOK_MS, signal)
  }
}

/** An end that something follows was that of an attempt which a repeat has begun again. */
const ofLastAttempt = (rows: readonly EventRow[]): readonly EventRow[] =>
  rows.slice(rows.findLastIndex(({ type }, at) => isEnd(type) && at < rows.length - 1) + 1)

const isEnd = (type: EventRow['type']): boolean =>
  type === 'succeeded' || type === 'failed' || type === 'canceled'

/** Whoever has heard its end already hears it again, and no more. */
const endOf = (row: GenerationRow, last: number): EventRow => ({
  generation_id: row.id,
  sequence: last + 1,
  type: row.status as 'succeeded' | 'failed' | 'canceled',
  position: null,
  created_at: row.completed_at ?? row.created_at,
})

async function eventOf(
  deps: FollowDeps,
  row: GenerationRow,
  { type, position, created_at }: EventRow,
): Promise<GenerationEvent> {
  const timestamp = created_at.toISOString()
  const id = idOf('gen', row.id)
  if (type === 'text') {
    return { type: 'generation.text', timestamp, data: { id, text: row.text ?? '' } }
  }
  const rows = await images.listByGeneration(deps.db, row.user_id, [row.id])
  if (type === 'image') {
    const index = position ?? 0
    const image = rows[index] && (await images.render(deps, rows[index], 'data-url'))
    return { type: 'generation.image', timestamp, data: { id, index, image: image ?? null } }
  }
  if (type === 'queued' || type === 'running') {
    const data = asItWas(await render(deps, row, [], 'data-url'), type)
    return { type: `generation.${type}`, timestamp, data }
  }
  const data = await render(deps, row, rows, 'data-url')
  return { type: `generation.${type}`, timestamp, data }
}

/** Before its end, which may have come meanwhile. */
const asItWas = (generation: Generation, status: 'queued' | 'running'): Generation => ({
  ...generation,
  status,
  completed_at: null,
  text: null,
  warnings: [],
  error: null,
  usage: { input_tokens: 0, output_tokens: 0, images: 0, cost_usd: 0 },
})
