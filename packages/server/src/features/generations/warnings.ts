import type { AspectRatio, Size, Warning } from '@nanobanana/shared'
import type { AppError } from '../../kernel/app-error.ts'
import { type Pixels as Measured, ratioDistance, sideDistance } from './pixels.ts'

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

/** Where one measured picture differs from what was asked for. */
export function warningsOf(requested: Requested, measured: Measured): Warning[] {
  const found = `${measured.width}x${measured.height}`
  const warnings: Warning[] = []
  if (
    requested.aspectRatio !== undefined &&
    ratioDistance(measured, requested.aspectRatio) > RATIO_TOLERANCE
  ) {
    warnings.push({
      code: 'aspect_ratio_differs',
      message: `The provider made ${found}, not the ratio ${requested.aspectRatio}.`,
    })
  }
  if (sideDistance(measured, requested.size) > SIDE_TOLERANCE) {
    warnings.push({
      code: 'size_differs',
      message: `The provider made ${found}, not the size ${requested.size}.`,
    })
  }
  return warnings
}
