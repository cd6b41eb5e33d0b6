import type { Prices } from '@nanobanana/shared'

export interface BilledTokens {
  inputTokens: number
  /** Text and thinking. */
  textOutputTokens: number
  imageOutputTokens: number
}

/** Price of a call in whole micro-dollars, rounded once, half up. */
export function priceMicros(tokens: BilledTokens, prices: Prices): number {
  const millionths =
    BigInt(tokens.inputTokens) * BigInt(prices.inputMicrosPerMillion) +
    BigInt(tokens.textOutputTokens) * BigInt(prices.textOutputMicrosPerMillion) +
    BigInt(tokens.imageOutputTokens) * BigInt(prices.imageOutputMicrosPerMillion)
  return Number((millionths + 500_000n) / 1_000_000n)
}
