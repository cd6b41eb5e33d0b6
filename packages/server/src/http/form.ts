import { isWebAddress } from '@nanobanana/shared'
import type { z } from 'zod'
import { AppError } from '../kernel/app-error.ts'
import { createCoerce, isText, shapeOf } from './coerce.ts'
import { IMAGE_PART } from './part-head.ts'
import { parseJson } from './json.ts'
import type { Form } from './multipart.ts'
import { append, type Query } from './query.ts'

/** The field that holds all images of a request. */
const IMAGE_LIST = 'images'

/** Turns a form into the input a schema asks for. */
export type FromForm = (form: Form) => Record<string, unknown>

/**
 * Fields are read like those of a query, and as JSON where a schema asks for more than a text or a
 * number. Files and the entries of the field `images` become one list in the order of arrival.
 */
export function createFromForm(schema: z.ZodType): FromForm {
  const coerce = createCoerce(schema)
  const jsonFields = new Set(
    Object.entries(shapeOf(schema)).flatMap(([name, field]) => (isText(field) ? [] : [name])),
  )
  return (form) => {
    const texts: Query = {}
    const parsed = new Map<string, unknown>()
    const images: unknown[] = []
    for (const { name, value } of form) {
      if (typeof value !== 'string') images.push({ data: value })
      else if (name === IMAGE_PART) throw noFile(value)
      else if (!jsonFields.has(name)) append(texts, name, value)
      else if (parsed.has(name)) throw invalid(name, 'must be given once')
      else parsed.set(name, parseField(name, value))
      if (name === IMAGE_LIST) images.push(...entriesOf(parsed.get(name)))
    }
    return {
      ...coerce(texts),
      ...Object.fromEntries(parsed),
      ...(images.length > 0 ? { [IMAGE_LIST]: images } : {}),
    }
  }
}

function parseField(name: string, text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof AppError && error.code !== 'invalid_json') throw error
    throw invalid(name, 'must be JSON')
  }
}

function entriesOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  throw invalid(IMAGE_LIST, 'must be a JSON array')
}

const invalid = (name: string, message: string): AppError =>
  new AppError('invalid_input', `${name}: ${message}.`, { param: name })

export const noFile = (text: string): AppError =>
  isWebAddress(text)
    ? new AppError('image_url_not_supported', undefined, { param: IMAGE_PART })
    : new AppError('invalid_image', `${IMAGE_PART}: must be a file.`, { param: IMAGE_PART })
