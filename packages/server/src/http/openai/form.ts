import type { UploadedImage } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import { createCoerce } from '../coerce.ts'
import { noFile } from '../form.ts'
import type { Form } from '../multipart.ts'
import { type FileNames, IMAGE_PART } from '../part-head.ts'
import { append, type Query } from '../query.ts'
import { EditsInput } from './fields.ts'

/** One file is sent as `image`, several as `image[]`. */
const IMAGE_PARTS: readonly string[] = [IMAGE_PART, `${IMAGE_PART}[]`]
const MASK = 'mask'

/** The mask among them, which is refused in words of its own. */
export const FILES: FileNames = { parts: [...IMAGE_PARTS, MASK], list: IMAGE_PART }

const coerce = createCoerce(EditsInput)

/** The fields of a form, with its files as one list in the order of arrival. */
export function readEdits(form: Form): Record<string, unknown> {
  const texts: Query = {}
  const image: UploadedImage[] = []
  for (const { name, value } of form) {
    if (name === MASK) throw noMask()
    if (typeof value !== 'string') image.push(value)
    else if (IMAGE_PARTS.includes(name)) throw noFile(value)
    else append(texts, name, value)
  }
  return { ...coerce(texts), ...(image.length > 0 ? { image } : {}) }
}

const noMask = (): AppError =>
  new AppError(
    'unsupported_parameter',
    'mask: no model takes one; say in the prompt what to change.',
    { param: MASK },
  )
