import { parseEvents, type ReadEvent } from '../events.ts'
import type { Person } from './accounts.ts'
import { isOurs, open, type Wish } from './requests.ts'

/** What a client heard of one generation, over one connection or several. */
export interface Heard {
  readonly events: ReadEvent[]
  /** Connections after the first. */
  resumed: number
}

export const isOver = ({ events }: Heard): boolean =>
  /succeeded|failed|canceled/.test(events.at(-1)?.type ?? '')

/** What one connection came to. */
export type Listened =
  | { readonly kind: 'stream'; readonly id: string | null }
  /** Refused with JSON of the service. */
  | { readonly kind: 'refused'; readonly status: number; readonly body: string }
  | { readonly kind: 'cut'; readonly status: number; readonly id: string | null }

/** Listens on one connection until it ends, from where the last one ended. */
export async function listen(
  person: Person,
  path: string,
  wish: Wish,
  heard: Heard,
  onEvent: (event: ReadEvent) => void = () => {},
): Promise<Listened> {
  const last = heard.events.at(-1)?.id
  const headers = {
    ...wish.headers,
    accept: 'text/event-stream',
    ...(last === undefined ? {} : { 'last-event-id': last }),
  }
  const response = await open(person, path, { ...wish, headers })
  if (response === undefined) return { kind: 'cut', status: 0, id: null }
  const { status } = response
  const id = response.headers.get('x-generation-id')
  if (!isOurs(response)) return { kind: 'cut', status, id }
  if (status !== 200) {
    const body = await response.text().catch(() => undefined)
    return body === undefined ? { kind: 'cut', status, id } : { kind: 'refused', status, body }
  }
  await readAll(response, (event) => {
    heard.events.push(event)
    onEvent(event)
  })
  return { kind: 'stream', id }
}

async function readAll(response: Response, hear: (event: ReadEvent) => void): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of response.body!) {
      rest += decoder.decode(chunk, { stream: true })
      const end = rest.lastIndexOf('\n\n')
      if (end < 0) continue
      parseEvents(rest.slice(0, end + 2)).forEach(hear)
      rest = rest.slice(end + 2)
    }
  } catch {
    // Cut off; what came before counts.
  }
}

/** What is wrong with the events that were heard: those of an earlier attempt may be left out. */
export function faultsOf({ events }: Heard): string[] {
  const numbers = events.map(({ id }) => Number(id))
  const isWhole = numbers.every((number, index) => number === numbers[0]! + index)
  const isBegun = /queued|running/.test(events[0]?.type ?? '')
  return isWhole && isBegun ? [] : [`heard the events ${numbers.join()}`]
}
