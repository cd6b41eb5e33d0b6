import type { z } from 'zod'
import type { ModelEntry } from './model-entry.ts'
import { ASPECT_RATIOS } from './model-options.ts'

const TEN_RATIOS = ASPECT_RATIOS.slice(0, 10)

/** Day that Google's price page was read. */
const AS_OF = '2026-10-09'

const seconds = (day: string): number => Date.parse(`${day}T00:00:00Z`) / 1000

/** The models this version knows; adding one is a row here. */
export const MODEL_TABLE = [
  {
    id: 'gemini-nano-banana-2.1',
    name: 'Nano Banana 2.1',
    aliases: ['nano-banana-2.1', 'nano-banana'],
    status: 'stable',
    aspect_ratios: ASPECT_RATIOS,
    sizes: ['1K', '2K', '4K'],
    max_input_images: 14,
    thinking_levels: ['minimal', 'medium', 'high'],
    default_thinking_level: 'medium',
    image_tokens: { '1K': 1120, '2K': 1680, '4K': 3780 },
    pricing: {
      input_usd_per_million_tokens: 1.5,
      text_output_usd_per_million_tokens: 7.5,
      image_output_usd_per_million_tokens: 30,
      as_of: AS_OF,
    },
    created: seconds('2026-10-06'),
  },
  {
    id: 'gemini-3.1-flash-lite-image',
    name: 'Nano Banana 2 Lite',
    aliases: ['nano-banana-2-lite'],
    status: 'stable',
    // Sources differ between ten and fourteen ratios; the ten are safe.
    aspect_ratios: TEN_RATIOS,
    sizes: ['1K'],
    // Google names no limit; three is what the smaller model before it took.
    max_input_images: 3,
    thinking_levels: ['minimal', 'high'],
    // Not published.
    default_thinking_level: null,
    image_tokens: { '1K': 1120 },
    pricing: {
      input_usd_per_million_tokens: 0.25,
      text_output_usd_per_million_tokens: 1.5,
      image_output_usd_per_million_tokens: 30,
      as_of: AS_OF,
    },
    created: seconds('2026-06-01'),
  },
  {
    id: 'gemini-3-pro-image',
    name: 'Nano Banana Pro',
    aliases: ['nano-banana-pro'],
    status: 'stable',
    aspect_ratios: TEN_RATIOS,
    sizes: ['1K', '2K', '4K'],
    max_input_images: 14,
    // It always thinks.
    thinking_levels: [],
    default_thinking_level: null,
    image_tokens: { '1K': 1120, '2K': 1120, '4K': 2000 },
    pricing: {
      input_usd_per_million_tokens: 2,
      text_output_usd_per_million_tokens: 12,
      image_output_usd_per_million_tokens: 120,
      as_of: AS_OF,
    },
    created: seconds('2026-05-28'),
  },
  {
    id: 'gemini-3.1-flash-image',
    name: 'Nano Banana 2',
    aliases: ['nano-banana-2'],
    status: 'deprecated',
    aspect_ratios: ASPECT_RATIOS,
    sizes: ['512', '1K', '2K', '4K'],
    max_input_images: 14,
    thinking_levels: ['minimal', 'high'],
    default_thinking_level: 'minimal',
    image_tokens: { '512': 747, '1K': 1120, '2K': 1680, '4K': 2520 },
    pricing: {
      input_usd_per_million_tokens: 0.5,
      text_output_usd_per_million_tokens: 3,
      image_output_usd_per_million_tokens: 60,
      as_of: AS_OF,
    },
    created: seconds('2026-05-28'),
  },
  {
    id: 'gemini-2.5-flash-image',
    name: 'Nano Banana (2.5)',
    aliases: [],
    status: 'deprecated',
    aspect_ratios: TEN_RATIOS,
    sizes: ['1K'],
    // Google's recommendation; no hard limit is known.
    max_input_images: 3,
    thinking_levels: [],
    default_thinking_level: null,
    image_tokens: { '1K': 1290 },
    pricing: {
      input_usd_per_million_tokens: 0.3,
      // Not on Google's page; a reseller's.
      text_output_usd_per_million_tokens: 2.5,
      image_output_usd_per_million_tokens: 30,
      as_of: AS_OF,
    },
    created: seconds('2025-10-02'),
  },
] as const satisfies readonly z.input<typeof ModelEntry>[]
