/** One event as it stands on the wire. */
export interface ServerEvent {
  readonly id: string | undefined
  readonly data: string
}

/** Reads server-sent events; comments and what was not sent to its end are left out. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<ServerEvent, void, undefined> {
  let fields: string[] = []
  for await (const line of linesOf(body, onBytes)) {
    if (line !== '') fields.push(line)
    else {
      const event = eventOf(fields)
      fields = []
      if (event !== undefined) yield event
    }
  }
}

function eventOf(fields: readonly string[]): ServerEvent | undefined {
  let id: string | undefined
  const data: string[] = []
  for (const field of fields) {
    const [, name, value = ''] = /^([^:]*)(?:: ?([^]*))?$/.exec(field) ?? []
    if (name === 'id') id = value
    if (name === 'data') data.push(value)
  }
  return data.length === 0 ? undefined : { id, data: data.join('\n') }
}

async function* linesOf(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  // A line may be an image of megabytes: its pieces are joined once.
  let pieces: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      onBytes()
      const [first = '', ...rest] = decoder.decode(value, { stream: true }).split('\n')
      pieces.push(first)
      for (const next of rest) {
        yield pieces.join('').replace(/\r$/, '')
        pieces = [next]
      }
    }
  } finally {
    reader.releaseLock()
  }
}
