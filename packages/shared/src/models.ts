import { ModelEntry } from './model-entry.ts'
import type { AspectRatio, Size, ThinkingLevel } from './model-options.ts'
import { MODEL_TABLE } from './model-table.ts'

/**
 * The model catalogue. Validation, `GET /v1/models`, prices, the OpenAPI document and the SDK's types
 * come from here.
 */

/** Prices in micro-dollars per million tokens: $1.50 is 1_500_000. */
export interface Prices {
  readonly inputMicrosPerMillion: number
  /** Text and thinking output. */
  readonly textOutputMicrosPerMillion: number
  readonly imageOutputMicrosPerMillion: number
}

export interface Model {
  readonly id: string
  readonly name: string
  readonly aliases: readonly string[]
  readonly status: 'stable' | 'deprecated'
  readonly aspectRatios: readonly AspectRatio[]
  readonly sizes: readonly Size[]
  /** False where the provider must not be sent a size: the model has only the one. */
  readonly sendsSize: boolean
  readonly maxInputImages: number
  /** Empty where the caller has no say: the model never thinks, or always does. */
  readonly thinkingLevels: readonly ThinkingLevel[]
  /** What the model does unasked; null: unknown, or no say. */
  readonly defaultThinkingLevel: ThinkingLevel | null
  /** Output tokens of one image by size, for estimates. */
  readonly imageTokens: Readonly<Partial<Record<Size, number>>>
  /** Output text tokens a reservation allows for. */
  readonly textAllowanceTokens: number
  readonly prices: Prices
  /** Day the prices were read from Google's price page. */
  readonly pricesAsOf: string
  /** When the model was announced, as seconds since 1970 (the OpenAI list shape's `created`). */
  readonly created: number
}

/** The model that an entry describes. */
export function toModel(entry: ModelEntry): Model {
  const { pricing } = entry
  return {
    id: entry.id,
    name: entry.name ?? entry.id,
    aliases: entry.aliases,
    status: entry.status,
    aspectRatios: entry.aspect_ratios,
    sizes: entry.sizes,
    // 1K is what the provider draws unasked; asked for it, the oldest model answered 500 INTERNAL.
    sendsSize: entry.sizes.some((size) => size !== '1K'),
    maxInputImages: entry.max_input_images,
    thinkingLevels: entry.thinking_levels,
    defaultThinkingLevel: entry.default_thinking_level,
    imageTokens: entry.image_tokens,
    textAllowanceTokens: entry.text_allowance_tokens,
    prices: {
      inputMicrosPerMillion: micros(pricing.input_usd_per_million_tokens),
      textOutputMicrosPerMillion: micros(pricing.text_output_usd_per_million_tokens),
      imageOutputMicrosPerMillion: micros(pricing.image_output_usd_per_million_tokens),
    },
    pricesAsOf: pricing.as_of,
    created: entry.created ?? Date.parse(pricing.as_of) / 1000,
  }
}

/** Exact: an entry has at most six decimals. */
const micros = (usd: number): number => Math.round(usd * 1e6)

/** The built-in models. */
export const MODELS: readonly Model[] = MODEL_TABLE.map((row) => toModel(ModelEntry.parse(row)))

export const DEFAULT_MODEL = 'gemini-nano-banana-2.1'
