import { addTokens, type TokenUsage } from '../../ports/image-provider.ts'

export const NO_TOKENS: TokenUsage = { inputTokens: 0, textOutputTokens: 0, imageOutputTokens: 0 }

export const addUsage = (usages: readonly TokenUsage[]): TokenUsage =>
  usages.reduce(addTokens, NO_TOKENS)
