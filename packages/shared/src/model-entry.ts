import { z } from 'zod'
import { MAX_INPUT_IMAGES } from './image-input.ts'
import { AspectRatio, Size, SIZES, ThinkingLevel } from './model-options.ts'

// A model in the words of `GET /v1/models`: a row of the built-in table, or an entry of MODELS_FILE.

/** Stands in the path of the provider's URL. */
const modelName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,99}$/i,
    'must be 1 to 100 letters, digits, dots, dashes and underscores',
  )

const displayName = z
  .string()
  .regex(/^[^\p{C}]{1,100}$/u, 'must be 1 to 100 characters, without control characters')

const set = <const T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .refine((list) => new Set(list).size === list.length, { error: 'must not repeat a value' })
    .readonly()

const filled = <const T extends z.ZodType>(item: T) =>
  set(item).refine((list) => list.length > 0, { error: 'must not be empty' })

const whole = (min: number, max: number) =>
  z.number().refine((value) => Number.isInteger(value) && value >= min && value <= max, {
    error: `must be a whole number from ${min} to ${max}`,
  })

const MAX_USD = 100_000
const isExact = (usd: number): boolean => Math.round(usd * 1e6) / 1e6 === usd

/** Six decimals are whole micro-dollars; more could not be charged exactly. */
const usd = z.number().refine((value) => value >= 0 && value <= MAX_USD && isExact(value), {
  error: `must be US dollars from 0 to ${MAX_USD}, with at most 6 decimals`,
})

const Pricing = z.strictObject({
  input_usd_per_million_tokens: usd,
  /** Text and thinking. */
  text_output_usd_per_million_tokens: usd,
  image_output_usd_per_million_tokens: usd,
  /** Day the prices were read. */
  as_of: z.string().pipe(z.iso.date('must be a day like 2026-10-09')),
})

export const ModelEntry = z
  .strictObject({
    id: modelName,
    /** Default: the id. */
    name: displayName.optional(),
    aliases: set(modelName).default([]),
    status: z.enum(['stable', 'deprecated']).default('stable'),
    aspect_ratios: filled(AspectRatio),
    sizes: filled(Size),
    max_input_images: whole(0, MAX_INPUT_IMAGES),
    /** Empty where the caller has no say: the model never thinks, or always does. */
    thinking_levels: set(ThinkingLevel).default([]),
    /** What the model does unasked; null: unknown, or no say. */
    default_thinking_level: ThinkingLevel.nullable().default(null),
    /** Output tokens of one image by size, for estimates. */
    image_tokens: z.partialRecord(Size, whole(1, 1_000_000)),
    /** Output text tokens a reservation allows for. */
    text_allowance_tokens: whole(0, 1_000_000).default(1000),
    pricing: Pricing,
    /** When the model was announced, in seconds since 1970. Default: the day of the prices. */
    created: whole(0, 1e11).optional(),
  })
  .superRefine(({ sizes, image_tokens: tokens, ...entry }, context) => {
    const refuse = (path: string[], message: string) =>
      context.addIssue({ code: 'custom', path, message })
    for (const size of SIZES) {
      const [isSize, hasTokens] = [sizes.includes(size), tokens[size] !== undefined]
      if (isSize && !hasTokens) refuse(['image_tokens', size], 'is required')
      if (hasTokens && !isSize) refuse(['image_tokens', size], 'is for a size that is not in sizes')
    }
    const level = entry.default_thinking_level
    if (level !== null && !entry.thinking_levels.includes(level))
      refuse(['default_thinking_level'], 'must be one of thinking_levels')
  })
export type ModelEntry = z.infer<typeof ModelEntry>
