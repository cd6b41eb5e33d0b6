import { answer, imagePart, leadingText } from '../answer.ts'
import { errorBody } from '../google-error.ts'
import { defineScenarios, ok } from './define.ts'

const OVERLOADED = 'The model is overloaded. Please try again later.'

/** Faults only a stream can have; a unary call gets a good answer instead. */
export const STREAM_SCENARIOS = defineScenarios({
  'stream-error': {
    summary: 'stream: an error event after the first part',
    reply: async (call) =>
      ok(answer(call, [...leadingText(call), await imagePart(call)]), {
        streamEnd: errorBody(503, 'UNAVAILABLE', OVERLOADED),
      }),
  },
  'stream-no-finish': {
    summary: 'stream: a clean end without the closing event',
    reply: async (call) =>
      ok(answer(call, [...leadingText(call), await imagePart(call)]), { streamEnd: 'missing' }),
  },
})
