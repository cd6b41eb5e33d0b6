import type { DeliveryType, Generation, WebhookMessage } from '@nanobanana/shared'

/** Bytes of a body. */
export const MAX_BODY_BYTES = 64 * 1024
const SHORTENED_LENGTH = 2000

type Field = NonNullable<WebhookMessage['truncated']>[number]

/** What is cut first where a body would be too large: what the receiver can most easily do without. */
const CUTS: readonly { field: Field; cut(data: Generation): Partial<Generation> }[] = [
  { field: 'text', cut: ({ text }) => ({ text: text === null ? null : shortened(text) }) },
  { field: 'prompt', cut: ({ prompt }) => ({ prompt: shortened(prompt) }) },
  { field: 'metadata', cut: () => ({ metadata: {} }) },
]

/** The body of a webhook. What had to be cut to keep it within its bound stands in `truncated`. */
export function payloadOf(type: DeliveryType, happenedAt: Date, generation: Generation): string {
  const head = { type, timestamp: happenedAt.toISOString() }
  let body = write({ ...head, data: generation })
  let data = generation
  const truncated: Field[] = []
  for (const { field, cut } of CUTS) {
    if (Buffer.byteLength(body) <= MAX_BODY_BYTES) return body
    data = { ...data, ...cut(data) }
    truncated.push(field)
    body = write({ ...head, data, truncated })
  }
  return body
}

const write = (message: WebhookMessage): string => JSON.stringify(message)

/** Cuts between two characters, never inside of one. */
const shortened = (text: string): string =>
  text.length <= SHORTENED_LENGTH ? text : `${text.slice(0, SHORTENED_LENGTH).toWellFormed()}…`
