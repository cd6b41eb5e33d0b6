import { z } from 'zod'
import { KeyId, Mode } from './keys.ts'

/** Longest range of one usage query, in days. */
export const USAGE_MAX_DAYS = 366

const utcDay = z.iso
  .date('must be a day such as 2026-11-23')
  // Postgres has no year 0.
  .refine((day) => !day.startsWith('0000'), { error: 'must lie after the year 0' })

export const UsageInput = z
  .strictObject({
    from: utcDay.optional().describe('First UTC day. Default: the first day of the month of `to`.'),
    to: utcDay.optional().describe('Last UTC day, included. Default: today.'),
    group_by: z
      .enum(['day', 'key', 'model'])
      .default('day')
      .describe('What one row stands for. Default `day`.'),
    mode: Mode.optional().describe(
      'With an access token: default `live`. A key sees its own mode.',
    ),
  })
  .meta({ id: 'UsageInput' })
export type UsageInput = z.infer<typeof UsageInput>

const figures = {
  requests: z.int().describe('Generations that succeeded.'),
  images: z.int(),
  input_tokens: z.int(),
  output_tokens: z.int(),
  cost_usd: z.number(),
}

export const UsageRow = z
  .object({
    day: z.string().optional().describe('UTC day, when grouped by day.'),
    key_id: KeyId.nullable()
      .optional()
      .describe('When grouped by key; null stands for calls with an access token.'),
    model: z.string().optional().describe('When grouped by model.'),
    ...figures,
  })
  .meta({ id: 'UsageRow' })
export type UsageRow = z.infer<typeof UsageRow>

export const Usage = z
  .object({ data: z.array(UsageRow), total: z.object(figures) })
  .meta({ id: 'Usage' })
export type Usage = z.infer<typeof Usage>
