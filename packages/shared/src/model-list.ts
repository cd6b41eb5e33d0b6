import { z } from 'zod'
import { AspectRatio, Size, ThinkingLevel } from './model-options.ts'

export const ModelInfo = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int().describe('Seconds since 1970.'),
    owned_by: z.string(),
    name: z.string(),
    aliases: z.array(z.string()),
    status: z.enum(['stable', 'deprecated']),
    default: z.boolean(),
    aspect_ratios: z.array(AspectRatio),
    sizes: z.array(Size),
    max_input_images: z.int().describe('How many `images` a request may bring; 0: none.'),
    thinking_levels: z
      .array(ThinkingLevel)
      .describe('Empty where the caller has no say: the model never thinks, or always does.'),
    default_thinking_level: ThinkingLevel.nullable().describe(
      'What the model does unasked; null: unknown, or no say.',
    ),
    pricing: z.object({
      input_usd_per_million_tokens: z.number(),
      text_output_usd_per_million_tokens: z.number(),
      image_output_usd_per_million_tokens: z.number(),
      image_usd: z
        .record(z.string(), z.number())
        .describe('US dollars of one image by size, without the text tokens.'),
      as_of: z.string().describe('Day the prices were read, YYYY-MM-DD.'),
    }),
  })
  .meta({ id: 'Model' })
export type ModelInfo = z.infer<typeof ModelInfo>

export const ModelList = z
  .object({ object: z.literal('list'), data: z.array(ModelInfo) })
  .meta({ id: 'ModelList' })
export type ModelList = z.infer<typeof ModelList>
