import { z } from 'zod'
import { type ImageResult, ProviderError, type TokenUsage } from '../../ports/image-provider.ts'
import { failureOfStatus } from './gemini-failure.ts'

// Tolerant on purpose: the SDK passes null parts, missing content and unknown enum values through.
const Part = z.object({
  text: z.string().nullish(),
  thought: z.boolean().nullish(),
  inlineData: z.object({ data: z.string().nullish() }).nullish(),
})
const Candidate = z.object({
  content: z.object({ parts: z.array(Part).nullish() }).nullish(),
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
  error: z.object({ code: z.number().nullish(), message: z.string().nullish() }).nullish(),
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
  if (answer.error) throw failureOfStatus(answer.error.code ?? 500, answer.error.message ?? '')
  const parts = answer.candidates?.[0]?.content?.parts ?? []
  const text = textOf(parts)
  const data = pictureOf(parts)
  if (data === undefined) throw whyNoPicture(answer, text)
  return { bytes: decode(data), text, usage: usageOf(answer, usualImageTokens) }
}

/** The last picture that is no thought; drafts come first, in some answers unmarked. */
function pictureOf(parts: readonly Part[]): string | undefined {
  const pictures = parts.filter((part) => part.inlineData?.data)
  const last = pictures.findLast((part) => part.thought !== true) ?? pictures.at(-1)
  return last?.inlineData?.data ?? undefined
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

const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/

function decode(data: string): Uint8Array {
  // The ends tell a wrong alphabet; Buffer skips what it does not know.
  if (!BASE64.test(data.slice(0, 1024)) || !BASE64.test(data.slice(-1024))) {
    throw unusable('The provider sent a picture that is no base64.')
  }
  const bytes = Buffer.from(data, 'base64')
  if (bytes.length === 0) throw unusable('The provider sent an empty picture.')
  return bytes
}

function whyNoPicture(answer: Answer, text: string | null): ProviderError {
  const blocked = answer.promptFeedback?.blockReason
  if (blocked) return refusal(blocked)
  const candidate = answer.candidates?.[0]
  if (candidate === undefined) return unusable('The provider sent an empty answer.')
  const reason = candidate.finishReason ?? 'none'
  if (REFUSALS.has(reason)) return refusal(reason)
  const said = text === null ? '' : ` It said: ${text.slice(0, 500)}`
  return new ProviderError(
    'no_image',
    `The provider answered without an image (finish reason ${printable(reason)}).${said}`,
  )
}

const refusal = (reason: string): ProviderError =>
  new ProviderError('content_blocked', `The provider refused the request (${printable(reason)}).`)

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
