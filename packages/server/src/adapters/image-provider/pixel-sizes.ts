import type { AspectRatio, Size } from '@nanobanana/shared'

export type PixelSize = readonly [width: number, height: number]

/** The upright ratios at 1K; the others are these, lying down. */
const GEMINI_3 = {
  '1:1': [1024, 1024],
  '2:3': [848, 1264],
  '3:4': [896, 1200],
  '4:5': [928, 1152],
  '9:16': [768, 1376],
  '9:21': [672, 1584],
  '1:4': [512, 2048],
  '1:8': [384, 3072],
} as const satisfies Record<string, PixelSize>

const GEMINI_2_5 = {
  ...GEMINI_3,
  '2:3': [832, 1248],
  '3:4': [864, 1184],
  '4:5': [896, 1152],
  '9:16': [768, 1344],
  '9:21': [672, 1536],
} as const satisfies Record<string, PixelSize>

// NOTE Google's table has 792x168 for 21:9 at 512, which is no 21:9; half of 1K is taken for all.
const SCALES: Readonly<Record<Size, number>> = { '512': 0.5, '1K': 1, '2K': 2, '4K': 4 }

/** Pixels of Gemini's pictures, from public copies of Google's tables and from measured answers. */
export function pixelSize(
  modelId: string,
  aspectRatio: AspectRatio = '1:1',
  size: Size = '1K',
): PixelSize {
  const [width, height] = sizeAt1K(is25(modelId) ? GEMINI_2_5 : GEMINI_3, aspectRatio)
  return [width * SCALES[size], height * SCALES[size]]
}

/** The one family that answers PNG and has pixel sizes of its own. */
export const is25 = (modelId: string): boolean => modelId.startsWith('gemini-2.5-')

function sizeAt1K(table: Readonly<Record<string, PixelSize>>, ratio: AspectRatio): PixelSize {
  const upright = table[ratio]
  if (upright !== undefined) return upright
  const [height, width] = table[ratio.split(':').toReversed().join(':')] ?? GEMINI_3['1:1']
  return [width, height]
}
