import type { AspectRatio, Size, Warning } from '@nanobanana/shared'
import type { AppError } from '../../kernel/app-error.ts'

/** Side of a square picture of each size; other ratios keep about the same area. */
const SQUARE_SIDE: Record<Size, number> = { '512': 512, '1K': 1024, '2K': 2048, '4K': 4096 }

// Google's own pixel tables stray up to 6 % from the ratio asked for, and up to 12 % from the area.
const RATIO_TOLERANCE = 0.08
const SIDE_TOLERANCE = 0.2

/** Where the result of a generation differs from what was asked for; each said once. */
export function warningsOfResult(
  requested: Requested & { n: number },
  images: readonly { row: Measured; isAsAsked: boolean }[],
  failures: readonly AppError[],
): Warning[] {
  const warnings = images.flatMap(({ row, isAsAsked }) => [
    ...warningsOf(requested, row),
    ...(isAsAsked ? [] : [NOT_CONVERTED]),
  ])
  if (failures.length > 0) warnings.push(partial(requested.n, images.length, failures))
  return [...new Map(warnings.map((warning) => [warning.message, warning])).values()]
}

const NOT_CONVERTED: Warning = {
  code: 'output_format_differs',
  message: 'The picture could not be converted and is as the provider made it.',
}

function partial(asked: number, made: number, failures: readonly AppError[]): Warning {
  const reasons = new Set(failures.map(({ code, message }) => `${code}: ${message}`))
  return {
    code: 'partial_result',
    message: `${made} of ${asked} images were made. ${[...reasons].join(' ')}`,
  }
}

interface Requested {
  aspectRatio: AspectRatio | undefined
  size: Size
}

interface Measured {
  width: number
  height: number
}

/** Where one measured picture differs from what was asked for. */
export function warningsOf(requested: Requested, measured: Measured): Warning[] {
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

function hasRatio({ width, height }: Measured, ratio: AspectRatio): boolean {
  const [across = 1, down = 1] = ratio.split(':').map(Number)
  return Math.abs(Math.log((width * down) / (height * across))) <= RATIO_TOLERANCE
}

function hasSize({ width, height }: Measured, size: Size): boolean {
  return Math.abs(Math.log(Math.sqrt(width * height) / SQUARE_SIDE[size])) <= SIDE_TOLERANCE
}
