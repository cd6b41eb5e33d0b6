import type { BilledTokens } from '../usage/usage.service.ts'
import type { CheckedRequest } from './request.ts'

/** Of ASCII, as English is; a character of another script is counted as a token of its own. */
const ASCII_PER_TOKEN = 4

/** What the newest models count for an image that comes with a request. */
const TOKENS_PER_INPUT_IMAGE = 1120

/** Tokens that a request may take, to set aside what they cost. Each of `n` is a call of its own. */
export function estimateTokens(
  { model, size, n }: Pick<CheckedRequest, 'model' | 'size' | 'n'>,
  prompt: string,
  inputImages: number,
): BilledTokens {
  return {
    inputTokens: n * (estimateTextTokens(prompt) + inputImages * TOKENS_PER_INPUT_IMAGE),
    textOutputTokens: n * model.textAllowanceTokens,
    imageOutputTokens: n * (model.imageTokens[size] ?? 0),
  }
}

/** Tokens that a text may take. */
export function estimateTextTokens(text: string): number {
  const characters = [...text].length
  const ascii = text.replaceAll(/\P{ASCII}/gu, '').length
  return Math.ceil(ascii / ASCII_PER_TOKEN) + characters - ascii
}
