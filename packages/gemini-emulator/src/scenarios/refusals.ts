import { answer, envelope, imagePart, textPart } from '../answer.ts'
import type { AnswerBody } from '../answer.ts'
import type { Call } from '../call.ts'
import type { JsonObject } from '../json.ts'
import type { RefusedContent } from '../scenario-settings.ts'
import { promptUsage } from '../usage.ts'
import { defineScenarios, ok } from './define.ts'

const FINISH_MESSAGE =
  'The model output could not be generated. This output contains sensitive words that violate ' +
  "Google's Responsible AI practices. If you think this was an error, send feedback. " +
  'Support code: 42876398.'

const CONTENT: Record<RefusedContent, JsonObject> = {
  empty: { content: {} },
  role: { content: { role: 'model' } },
  'null-parts': { content: { parts: null } },
  absent: {},
}

/** Answers of HTTP 200 that hold no picture, or end for another reason than STOP. */
export const REFUSAL_SCENARIOS = defineScenarios({
  'prompt-blocked': {
    summary: 'promptFeedback with `blockReason`, no candidates',
    defaults: { blockReason: 'PROHIBITED_CONTENT' },
    reply: (call) => ok(blockedPrompt(call)),
  },
  refused: {
    summary: '`finishReason` (IMAGE_SAFETY) with finishMessage; `content` sets the shape',
    defaults: { finishReason: 'IMAGE_SAFETY', content: 'role', finishMessage: FINISH_MESSAGE },
    reply: (call) => ok(refusal(call)),
  },
  'refused-silent': {
    summary: 'the same without finishMessage',
    defaults: { finishReason: 'IMAGE_SAFETY', content: 'absent' },
    reply: (call) => ok(refusal(call)),
  },
  'refused-safety': {
    summary: 'finishReason SAFETY with a blocked safety rating, empty content and no index',
    defaults: { finishReason: 'SAFETY', content: 'empty' },
    reply: (call) => ok(ratedRefusal(call)),
  },
  'no-image': {
    summary: 'finishReason NO_IMAGE, no content',
    defaults: { finishReason: 'NO_IMAGE', content: 'absent' },
    reply: (call) => ok(refusal(call)),
  },
  'max-tokens': {
    summary: 'finishReason MAX_TOKENS, content without parts',
    defaults: { finishReason: 'MAX_TOKENS', content: 'role' },
    reply: (call) => ok(refusal(call)),
  },
  'no-candidates': {
    summary: 'neither candidates nor promptFeedback',
    reply: (call) => ok(envelope(call, promptUsage(call.request))),
  },
  'text-only': {
    summary: 'finishReason STOP and only text',
    defaults: { text: 'I would rather describe the banana: it is yellow, bent and ripe.' },
    reply: (call) => ok(answer(call, [textPart(call)])),
  },
  'unknown-finish-reason': {
    summary: 'a finishReason nobody knows; `images` adds pictures',
    defaults: { finishReason: 'IMAGE_TOO_BEAUTIFUL', content: 'role', images: 0 },
    reply: async (call) => ok(await endedOddly(call)),
  },
  continuation: {
    summary: 'finishReason CONTINUATION with a continuationToken; `images` adds pictures',
    defaults: { finishReason: 'CONTINUATION', content: 'role', images: 0 },
    reply: async (call) => ok(continued(await endedOddly(call))),
  },
})

function blockedPrompt(call: Call): AnswerBody {
  const { blockReason, message } = call.settings
  return {
    promptFeedback: { blockReason, ...(message && { blockReasonMessage: message }) },
    ...envelope(call, promptUsage(call.request)),
  }
}

function refusal(call: Call): AnswerBody {
  const { finishReason, finishMessage, content = 'role' } = call.settings
  const candidate = {
    ...CONTENT[content],
    finishReason,
    index: 0,
    ...(finishMessage && { finishMessage }),
  }
  return { candidates: [candidate], ...envelope(call, promptUsage(call.request)) }
}

function ratedRefusal(call: Call): AnswerBody {
  const body = refusal(call)
  const safetyRatings = [
    { category: 'HARM_CATEGORY_SEXUALLY_EXPLICIT', probability: 'HIGH', blocked: true },
  ]
  // An undefined key does not reach the wire.
  const candidates = body.candidates?.map((one) => ({ ...one, index: undefined, safetyRatings }))
  return { ...body, candidates }
}

async function endedOddly(call: Call): Promise<AnswerBody> {
  const { images = 0, finishReason } = call.settings
  if (images === 0) return refusal(call)
  const parts = await Promise.all(Array.from({ length: images }, () => imagePart(call)))
  return answer(call, parts, finishReason)
}

function continued(body: AnswerBody): AnswerBody {
  const continuationToken = 'continue-from-here'
  return { ...body, candidates: body.candidates?.map((one) => ({ ...one, continuationToken })) }
}
