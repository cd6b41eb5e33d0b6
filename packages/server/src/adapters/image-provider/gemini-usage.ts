import { z } from 'zod'
import type { TokenUsage } from '../../ports/image-provider.ts'

// A figure that cannot be a count must not cost the picture.
const Count = z.int().nonnegative().nullish().catch(null)

/** How the provider counts tokens. */
export const UsageMetadata = z.object({
  promptTokenCount: Count,
  candidatesTokenCount: Count,
  thoughtsTokenCount: Count,
  candidatesTokensDetails: z
    .array(z.object({ modality: z.string().nullish(), tokenCount: Count }).catch({}))
    .nullish()
    .catch(null),
})

/** What an answer took; `usualImageTokens` for pictures that it does not count. */
export function usageOf(
  usage: z.infer<typeof UsageMetadata> | null | undefined,
  usualImageTokens: number,
): TokenUsage {
  const counted = (usage?.candidatesTokensDetails ?? [])
    .filter((detail) => detail.modality === 'IMAGE')
    .reduce((sum, detail) => sum + (detail.tokenCount ?? 0), 0)
  const imageOutputTokens = counted > 0 ? counted : usualImageTokens
  const candidates = usage?.candidatesTokenCount ?? 0
  return {
    inputTokens: usage?.promptTokenCount ?? 0,
    textOutputTokens:
      Math.max(0, candidates - imageOutputTokens) + (usage?.thoughtsTokenCount ?? 0),
    imageOutputTokens,
  }
}

/** What a call may be billed for whose answer nobody could read. */
export const estimateOf = (usualImageTokens: number): TokenUsage => ({
  inputTokens: 0,
  textOutputTokens: 0,
  imageOutputTokens: usualImageTokens,
})
