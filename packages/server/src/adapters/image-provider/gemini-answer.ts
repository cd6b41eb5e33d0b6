import { z } from 'zod'
import { type ImageResult, ProviderError, type TokenUsage } from '../../ports/image-provider.ts'

// Tolerant on purpose: the SDK passes null parts, missing content and unknown enum values through.
const Part = z.object({
  text: z.string().nullish(),
  thought: z.boolean().nullish(),
  // Bytes, as the transport cut them out; null where they were no base64.
  inlineData: z.object({ data: z.instanceof(Uint8Array).nullish() }).nullish(),
})
const Candidate = z.object({
  content: z
    .object({ parts: z.array(Part).nullish(), finishMessage: z.string().nullish() })
    .nullish(),
  finishReason: z.string().nullish(),
})
// A figure that cannot be a count must not cost the picture.
const Count = z.int().nonnegative().nullish().catch(null)
const Answer = z.object({
  candidates: z.array(Candidate).nullish(),
  promptFeedback: z.object({ blockReason: z.string().nullish() }).nullish(),
  usageMetadata: z
    .object({
      promptTokenCount: Count,
      candidatesTokenCount: Count,
      thoughtsTokenCount: Count,
      candidatesTokensDetails: z
        .array(z.object({ modality: z.string().nullish(), tokenCount: Count }))
        .nullish(),
    })
    .nullish(),
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
  if (!parsed.success) throw unusable('The provider sent an answer of an unknown form.')
  const answer = parsed.data
  const parts = answer.candidates?.[0]?.content?.parts ?? []
  const text = textOf(parts)
  const bytes = pictureOf(parts)
  if (bytes === undefined) throw whyNoPicture(answer, text)
  if (bytes === null) throw unusable('The provider sent a picture that is no base64.')
  return { bytes, text, usage: usageOf(answer, usualImageTokens) }
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

function whyNoPicture(answer: Answer, text: string | null): ProviderError {
  const blocked = answer.promptFeedback?.blockReason
  if (blocked) return refusal(blocked, null)
  const candidate = answer.candidates?.[0]
  if (candidate === undefined) return unusable('The provider sent an empty answer.')
  const reason = candidate.finishReason ?? 'none'
  const explained = candidate.content?.finishMessage ?? null
  if (REFUSALS.has(reason)) return refusal(reason, explained)
  const words = text ?? explained
  const said = words === null ? '' : ` It said: ${words.slice(0, 500)}`
  return new ProviderError(
    'no_image',
    `The provider answered without an image (finish reason ${printable(reason)}).${said}`,
  )
}

/** The reason, and Google's sentence about it where there is one. */
const refusal = (reason: string, explained: string | null): ProviderError =>
  new ProviderError(
    'content_blocked',
    [`The provider refused the request (${printable(reason)}).`, explained?.slice(0, 500)]
      .filter((sentence) => sentence !== undefined)
      .join(' '),
  )

const unusable = (message: string): ProviderError => new ProviderError('upstream_invalid', message)

const printable = (reason: string): string => reason.replaceAll(/[^A-Z0-9_]/gi, '').slice(0, 60)

function usageOf({ usageMetadata }: Answer, usualImageTokens: number): TokenUsage {
  const counted = (usageMetadata?.candidatesTokensDetails ?? [])
    .filter((detail) => detail.modality === 'IMAGE')
    .reduce((sum, detail) => sum + (detail.tokenCount ?? 0), 0)
  // There is a picture, so it took tokens, also where the answer does not tell them apart.
  const imageOutputTokens = counted > 0 ? counted : usualImageTokens
  const candidates = usageMetadata?.candidatesTokenCount ?? 0
  return {
    inputTokens: usageMetadata?.promptTokenCount ?? 0,
    textOutputTokens:
      Math.max(0, candidates - imageOutputTokens) + (usageMetadata?.thoughtsTokenCount ?? 0),
    imageOutputTokens,
  }
}
