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
