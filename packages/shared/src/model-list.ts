import { z } from 'zod'

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
    aspect_ratios: z.array(z.string()),
    sizes: z.array(z.string()),
    max_input_images: z.int(),
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
