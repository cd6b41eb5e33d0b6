import type { GenerationEvent } from '@nanobanana/shared'

/** A server-sent event as a client reads it. */
export interface ReadEvent {
  readonly id: string
  readonly type: string
  readonly event: GenerationEvent
}

/** The events of a stream's text; comments and other fields are passed over. */
export function parseEvents(text: string): ReadEvent[] {
  return text.split('\n\n').flatMap((block) => {
    const fields = new Map(
      block.split('\n').flatMap((line) => {
        const at = line.indexOf(': ')
        return at > 0 ? [[line.slice(0, at), line.slice(at + 2)] as const] : []
      }),
    )
    const data = fields.get('data')
    if (data === undefined) return []
    const event = JSON.parse(data) as GenerationEvent
    return [{ id: fields.get('id') ?? '', type: fields.get('event') ?? '', event }]
  })
}
