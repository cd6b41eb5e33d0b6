import type { AspectRatio, Size, Warning } from '@nanobanana/shared'

/** Side of a square picture of each size; other ratios keep about the same area. */
const SQUARE_SIDE: Record<Size, number> = { '512': 512, '1K': 1024, '2K': 2048, '4K': 4096 }

// Google's own pixel tables stray up to 6 % from the ratio asked for, and up to 12 % from the area.
const RATIO_TOLERANCE = 0.08
const SIDE_TOLERANCE = 0.2

/** Where the measured picture differs from what was asked for. */
export function warningsOf(
  requested: { aspectRatio: AspectRatio | undefined; size: Size },
  measured: { width: number; height: number },
): Warning[] {
  const found = `${measured.width}x${measured.height}`
  const warnings: Warning[] = []
  if (requested.aspectRatio !== undefined && !hasRatio(measured, requested.aspectRatio)) {
    warnings.push({
      code: 'aspect_ratio_differs',
      message: `The provider made ${found}, not the ratio ${requested.aspectRatio}.`,
    })
  }
  if (!hasSize(measured, requested.size)) {
    warnings.push({
      code: 'size_differs',
      message: `The provider made ${found}, not the size ${requested.size}.`,
    })
  }
  return warnings
}

function hasRatio(
  { width, height }: { width: number; height: number },
  ratio: AspectRatio,
): boolean {
  const [across = 1, down = 1] = ratio.split(':').map(Number)
  return Math.abs(Math.log((width * down) / (height * across))) <= RATIO_TOLERANCE
}

function hasSize({ width, height }: { width: number; height: number }, size: Size): boolean {
  return Math.abs(Math.log(Math.sqrt(width * height) / SQUARE_SIDE[size])) <= SIDE_TOLERANCE
}
