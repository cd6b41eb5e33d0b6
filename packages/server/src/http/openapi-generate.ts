import { GenerationEvent } from '@nanobanana/shared'
import { header } from './openapi-errors.ts'

/** Headers of the answer to a route that makes a generation. */
export const MADE_HEADERS = {
  'X-Generation-Id': header('GenerationId'),
  Location: header('GenerationLocation'),
  'Idempotent-Replayed': header('IdempotentReplayed'),
}

/** No field of the input, so no procedure tells of it. */
export const IDEMPOTENCY_KEY = {
  in: 'header',
  name: 'Idempotency-Key',
  required: false,
  description:
    'Makes a repeat safe: with the same key and body it is answered by the generation of the first request, for 24 hours after that has ended. 1 to 255 visible ASCII characters, quoted or bare; each API key has keys of its own, and so has the account for access tokens.',
  schema: { type: 'string', minLength: 1, examples: ['4f1a2b7c-6d52-4b0e-9f43-2f3f5f0c7a11'] },
}

const prefer = {
  in: 'header',
  name: 'Prefer',
  required: false,
  description:
    '`respond-async`: 202 at once. `wait=N`: the result, or 202 after N seconds (0 to 90). Without it the answer is the result, or 202 once the server has waited long enough.',
  schema: { type: 'string', examples: ['respond-async', 'wait=30'] },
}

const lastEventId = {
  in: 'header',
  name: 'Last-Event-ID',
  required: false,
  description: 'With `Accept: text/event-stream`: the `id` of the last event that was received.',
  schema: { type: 'string', examples: ['2'] },
}

/** Headers that are read, by the name of the procedure. */
export const REQUEST_HEADERS: Readonly<Record<string, readonly object[]>> = {
  generate: [IDEMPOTENCY_KEY, prefer],
  'generations.get': [lastEventId],
}

/** Said beside the generation itself by a 202. */
export const ACCEPTED_HEADERS = {
  ...MADE_HEADERS,
  'Retry-After': header('RetryAfter'),
  'Preference-Applied': header('PreferenceApplied'),
}

export const eventStream = {
  'text/event-stream': {
    schema: {
      type: 'string',
      description: 'Server-sent events; the `data` of each is a `GenerationEvent`.',
      contentSchema: { $ref: '#/components/schemas/GenerationEvent' },
    },
  },
}

/** Refers to the schemas that the document has by their names. */
export function eventSchemas(): Record<string, Record<string, unknown>> {
  const schema = GenerationEvent.toJSONSchema({ unrepresentable: 'any' }) as {
    $defs: Record<string, Record<string, unknown>>
  }
  const text = JSON.stringify(schema.$defs['GenerationEvent'])
  return { GenerationEvent: JSON.parse(text.replaceAll('#/$defs/', '#/components/schemas/')) }
}
