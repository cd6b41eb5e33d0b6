import { z } from 'zod'
import type { ImageResult, TokenUsage } from '../../ports/image-provider.ts'
import { AttemptError } from './attempt-error.ts'
import { estimateOf, UsageMetadata, usageOf } from './gemini-usage.ts'

// Tolerant on purpose: the SDK passes null parts, missing content and unknown enum values through.
// What cannot be read beside a picture must not cost the picture.
const Part = z
  .object({
    text: z.string().nullish().catch(null),
    thought: z.boolean().nullish().catch(null),
    // Bytes, as the transport cut them out; null where they were no base64.
    inlineData: z.object({ data: z.instanceof(Uint8Array).nullish() }).nullish(),
  })
  .catch({})
const Candidate = z.object({
  content: z
    .object({ parts: z.array(Part).nullish(), finishMessage: z.string().nullish().catch(null) })
    .nullish(),
  finishReason: z.string().nullish().catch(null),
})
const Answer = z.object({
  candidates: z.array(Candidate).nullish(),
  promptFeedback: z
    .object({ blockReason: z.string().nullish(), blockReasonMessage: z.string().nullish() })
    .nullish()
    .catch(null),
  usageMetadata: UsageMetadata.nullish().catch(null),
})
type Answer = z.infer<typeof Answer>
type Part = z.infer<typeof Part>

/** Finish reasons that mean the provider's safety system refused. */
const REFUSALS = new Set([
  'SAFETY',
  'IMAGE_SAFETY',
  'PROHIBITED_CONTENT',
  'IMAGE_PROHIBITED_CONTENT',
  'BLOCKLIST',
  'SPII',
  'RECITATION',
  'IMAGE_RECITATION',
])

/**
 * The finished picture of an answer, or the reason why there is none. `usualImageTokens`: what the
 * catalogue says a picture of this size takes, for answers that do not count it.
 */
export function readAnswer(raw: unknown, usualImageTokens: number): ImageResult {
  const parsed = Answer.safeParse(raw)
  if (!parsed.success) {
    throw unusable('The provider sent an answer of an unknown form.', estimateOf(usualImageTokens))
  }
  const answer = parsed.data
  const parts = answer.candidates?.[0]?.content?.parts ?? []
  const text = textOf(parts)
  const bytes = pictureOf(parts)
  if (bytes === undefined) throw whyNoPicture(answer, text, usualImageTokens)
  const usage = usageOf(answer.usageMetadata, usualImageTokens)
  if (bytes === null) throw unusable('The provider sent a picture that is no base64.', usage)
  return { bytes, text, usage }
}

/** The last picture that is no thought; drafts come first, in some answers unmarked. */
function pictureOf(parts: readonly Part[]): Uint8Array | null | undefined {
  const pictures = parts.filter(
    ({ inlineData }) => inlineData?.data === null || (inlineData?.data?.length ?? 0) > 0,
  )
  const last = pictures.findLast((part) => part.thought !== true) ?? pictures.at(-1)
  return last?.inlineData?.data
}

function textOf(parts: readonly Part[]): string | null {
  const text = parts
    .filter((part) => part.thought !== true)
    .map((part) => part.text ?? '')
    .join('')
    .toWellFormed()
    .replaceAll('\0', '')
    .trim()
  return text === '' ? null : text
}

function whyNoPicture(answer: Answer, text: string | null, usualImageTokens: number): AttemptError {
  const { promptFeedback, usageMetadata } = answer
  const candidate = answer.candidates?.[0]
  const wasted = usageMetadata ? usageOf(usageMetadata, 0) : estimateOf(usualImageTokens)
  if (promptFeedback?.blockReason || (promptFeedback && candidate === undefined)) {
    const { blockReason, blockReasonMessage } = promptFeedback
    return refusal(blockReason ?? 'none', blockReasonMessage, wasted)
  }
  if (candidate === undefined) return unusable('The provider sent an empty answer.', wasted)
  const reason = candidate.finishReason ?? 'none'
  const explained = candidate.content?.finishMessage
  if (REFUSALS.has(reason)) return refusal(reason, explained, wasted)
  const words = text ?? explained
  const said = words ? ` It said: ${words.slice(0, MAX_SAID)}` : ''
  return new AttemptError(
    'no_image',
    `The provider answered without an image (finish reason ${printable(reason)}).${said}`,
    // The next answer is another one, so there is nothing to wait for.
    { wasted, repeats: 1, pauseMs: 0 },
  )
}

/** The reason, and Google's sentence about it where there is one. */
const refusal = (
  reason: string,
  explained: string | null | undefined,
  wasted: TokenUsage,
): AttemptError =>
  new AttemptError(
    'content_blocked',
    [`The provider refused the request (${printable(reason)}).`, explained?.slice(0, MAX_SAID)]
      .filter(Boolean)
      .join(' '),
    { wasted },
  )

const unusable = (message: string, wasted: TokenUsage): AttemptError =>
  new AttemptError('upstream_invalid', message, { wasted })

/** Characters of what the provider says that are passed on. */
const MAX_SAID = 500

const printable = (reason: string): string => reason.replaceAll(/[^A-Z0-9_]/gi, '').slice(0, 60)
