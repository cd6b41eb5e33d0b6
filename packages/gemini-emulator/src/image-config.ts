import {
  badRequest,
  errorBody,
  GoogleError,
  internalError,
  invalidArgument,
} from './google-error.ts'
import { asList, asObject } from './json.ts'
import type { JsonObject } from './json.ts'
import { KNOWN_RATIOS } from './models.ts'
import type { ImageSize, ModelSpec } from './models.ts'

export interface ImageWish {
  ratio: string | undefined
  size: ImageSize
}

const CONFIG_PATH = 'generation_config.image_config'
const FORMAT_PATH = 'generation_config.response_format.image'

const NUMBER_WORDS: Record<string, string> = {
  '1': 'ONE',
  '2': 'TWO',
  '3': 'THREE',
  '4': 'FOUR',
  '5': 'FIVE',
  '8': 'EIGHT',
  '9': 'NINE',
  '16': 'SIXTEEN',
  '21': 'TWENTY_ONE',
}
const RATIO_ENUM = new Map(KNOWN_RATIOS.map((ratio) => [ratioEnumName(ratio), ratio]))
const SIZE_ENUM = new Map<string, ImageSize>([
  ['IMAGE_SIZE_FIVE_TWELVE', '512'],
  ['IMAGE_SIZE_ONE_K', '1K'],
  ['IMAGE_SIZE_TWO_K', '2K'],
  ['IMAGE_SIZE_FOUR_K', '4K'],
])

/** Reads the picture wanted from `imageConfig` or the newer `responseFormat.image`. */
export function readImageWish(config: JsonObject, model: ModelSpec): ImageWish {
  const { aspectRatio, imageSize } = { ...readFormat(config), ...asObject(config.imageConfig) }
  return { ratio: readRatio(aspectRatio, model), size: readSize(imageSize, model) }
}

function readFormat(config: JsonObject): JsonObject {
  const { aspectRatio, imageSize } = asObject(asObject(asList(config.responseFormat)[0]).image)
  return {
    ...(aspectRatio !== undefined && {
      aspectRatio: readEnum(RATIO_ENUM, aspectRatio, 'aspect_ratio', 'AspectRatio'),
    }),
    ...(imageSize !== undefined && {
      imageSize: readEnum(SIZE_ENUM, imageSize, 'image_size', 'ImageSize'),
    }),
  }
}

function readEnum(
  names: Map<string, string>,
  value: unknown,
  field: string,
  type: string,
): string | undefined {
  const known = typeof value === 'string' ? names.get(value) : undefined
  if (known) return known
  if (typeof value === 'string' && value.endsWith('_UNSPECIFIED')) return undefined
  const path = `${FORMAT_PATH}.${field}`
  const description = `Invalid value at '${path}' (${type}), ${JSON.stringify(value)}`
  throw new GoogleError(badRequest([{ field: path, description }]))
}

function readRatio(value: unknown, model: ModelSpec): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw notAString(`${CONFIG_PATH}.aspect_ratio`, value)
  if (!KNOWN_RATIOS.includes(value)) throw notOneOf('aspect_ratio', KNOWN_RATIOS)
  if (model.ratios.includes(value)) return value
  throw new GoogleError(invalidArgument('Aspect ratio is not enabled for this model'))
}

function readSize(value: unknown, model: ModelSpec): ImageSize {
  if (value === undefined || value === null) return '1K'
  if (typeof value !== 'string') throw notAString(`${CONFIG_PATH}.image_size`, value)
  if (model.breaksOnImageSize) throw new GoogleError(internalError())
  const size = model.sizes.find((known) => known === value)
  if (size) return size
  throw notOneOf('image_size', model.sizes)
}

function notAString(path: string, value: unknown): GoogleError {
  const description = `Invalid value at '${path}' (TYPE_STRING), ${JSON.stringify(value)}`
  return new GoogleError(badRequest([{ field: path, description }]))
}

function notOneOf(field: string, allowed: readonly string[]): GoogleError {
  const quoted = allowed.map((value) => `'${value}'`)
  const list = new Intl.ListFormat('en', { type: 'disjunction' }).format(quoted)
  const text = `* GenerateContentRequest.${CONFIG_PATH}.${field}: ${field} must be one of ${list}.\n`
  return new GoogleError(errorBody(400, 'INVALID_ARGUMENT', text))
}

function ratioEnumName(ratio: string): string {
  const [width = '', height = ''] = ratio.split(':')
  return `ASPECT_RATIO_${NUMBER_WORDS[width]}_BY_${NUMBER_WORDS[height]}`
}
