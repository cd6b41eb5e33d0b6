import type { AspectRatio, Model, Size } from '@nanobanana/shared'

export interface Pixels {
  readonly width: number
  readonly height: number
}

/** Side of a square picture of each size; other ratios keep about the same area. */
const SQUARE_SIDE: Record<Size, number> = { '512': 512, '1K': 1024, '2K': 2048, '4K': 4096 }

/** How far pixels are from a ratio: 0 where they have it, the logarithm of the factor else. */
export function ratioDistance({ width, height }: Pixels, ratio: AspectRatio): number {
  const [across = 1, down = 1] = ratio.split(':').map(Number)
  return Math.abs(Math.log((width * down) / (height * across)))
}

/** The same for the size, by the side of the square of that area. */
export const sideDistance = ({ width, height }: Pixels, size: Size): number =>
  Math.abs(Math.log(Math.sqrt(width * height) / SQUARE_SIDE[size]))

/** What a model draws that comes nearest; of two as near the first in its list. */
export const nearestTo = (
  { aspectRatios, sizes }: Pick<Model, 'aspectRatios' | 'sizes'>,
  pixels: Pixels,
): { aspectRatio: AspectRatio | undefined; size: Size | undefined } => ({
  aspectRatio: nearest(aspectRatios, (ratio) => ratioDistance(pixels, ratio)),
  size: nearest(sizes, (size) => sideDistance(pixels, size)),
})

const nearest = <T>(choices: readonly T[], distanceOf: (choice: T) => number): T | undefined =>
  choices.toSorted((a, b) => distanceOf(a) - distanceOf(b))[0]
