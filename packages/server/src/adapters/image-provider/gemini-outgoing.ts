import { randomUUID } from 'node:crypto'
import type { ClientRequest } from 'node:http'
import { setImmediate } from 'node:timers/promises'

// Drawn anew by each process, so that no prompt can hold one.
const MARK = randomUUID()
// Inside a JSON string the quotes would be escaped, so this is always the member that was marked.
const MARKS = new RegExp(`(?<="data":")${MARK}/(\\d+)`)

/** Stands for the base64 of the blob of that index in a request's JSON. */
export const markOf = (index: number): string => `${MARK}/${index}`

/** A multiple of three bytes, so that base64 has padding at a blob's end only; 64 KiB of text. */
const SLICE_BYTES = 48 * 1024

/** A request's body of which only the JSON between its blobs lies in memory as text. */
export interface OutgoingBody {
  readonly lengthBytes: number
  /** Text in latin1 and bytes, as they go out; base64 is made as it is asked for. */
  chunks(): Iterable<string | Uint8Array>
}

/** Puts each blob, as base64, where its mark stands. All marks must be there, in order. */
export function composeBody(json: string, blobs: readonly Uint8Array[]): OutgoingBody {
  const split = json.split(MARKS)
  const texts = split.filter((_, at) => at % 2 === 0).map((text) => Buffer.from(text))
  const marked = split.filter((_, at) => at % 2 === 1)
  if (marked.length !== blobs.length || marked.some((index, at) => index !== String(at))) {
    throw new Error('the SDK did not send every blob once')
  }
  const lengths = [
    ...texts.map((text) => text.length),
    ...blobs.map((blob) => Math.ceil(blob.length / 3) * 4),
  ]
  return {
    lengthBytes: lengths.reduce((sum, length) => sum + length, 0),
    *chunks() {
      for (const [index, text] of texts.entries()) {
        yield text
        yield* base64Slices(blobs[index])
      }
    },
  }
}

function* base64Slices(blob: Uint8Array = new Uint8Array()): Generator<string> {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.length)
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    yield bytes.toString('base64', at, at + SLICE_BYTES)
  }
}

/**
 * Sends a body as fast as it is taken. Resolves early where the call is over: its reader tells how
 * it ended. An error as answer ends it too, since the other side need not read on.
 */
export async function sendBody(request: ClientRequest, body: OutgoingBody): Promise<void> {
  let refused = false
  request.once('response', ({ statusCode = 0 }) => (refused = statusCode >= 400))
  for (const chunk of body.chunks()) {
    if (!request.write(chunk, 'latin1')) await takenOrOver(request)
    await pollSockets()
    if (refused || request.destroyed) return
  }
  request.end()
}

/**
 * Lets what has arrived be read: an answer would be lost behind a write that meets a reset. The
 * first turn only leaves the poll that `drain` came from, before the second there is another.
 */
async function pollSockets(): Promise<void> {
  await setImmediate()
  await setImmediate()
}

function takenOrOver(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      request.off('drain', settle).off('close', settle)
      resolve()
    }
    request.on('drain', settle).on('close', settle)
  })
}
