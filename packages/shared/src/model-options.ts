import { z } from 'zod'

// What a request may ask of a model. Each model takes a part of these; the API knows no others.

/** Pixels of the longer side, roughly. */
export const SIZES = ['512', '1K', '2K', '4K'] as const
export const Size = z.enum(SIZES).meta({ id: 'Size' })
export type Size = z.infer<typeof Size>

/** Width to height; the ten that every model has come first. */
export const ASPECT_RATIOS = [
  '1:1',
  '2:3',
  '3:2',
  '3:4',
  '4:3',
  '4:5',
  '5:4',
  '9:16',
  '16:9',
  '21:9',
  '1:4',
  '4:1',
  '1:8',
  '8:1',
] as const
export const AspectRatio = z.enum(ASPECT_RATIOS).meta({ id: 'AspectRatio' })
export type AspectRatio = z.infer<typeof AspectRatio>

/** How long a model may think before it draws. */
export const THINKING_LEVELS = ['minimal', 'medium', 'high'] as const
export const ThinkingLevel = z.enum(THINKING_LEVELS).meta({ id: 'ThinkingLevel' })
export type ThinkingLevel = z.infer<typeof ThinkingLevel>
