import { MAX_INPUT_IMAGES } from '@nanobanana/shared'
import { IMAGE_PART } from './part-head.ts'

type Json = Record<string, unknown>

/** What is said of JSON holds for a form too, but for the files. */
export function formContent(schema: Json): Json {
  const properties = {
    ...(schema['properties'] as Json),
    [IMAGE_PART]: {
      type: 'array',
      maxItems: MAX_INPUT_IMAGES,
      items: { type: 'string', format: 'binary' },
      description:
        'Files: PNG, JPEG or WebP, one part each. Together with the entries of `images` they form one list, in the order in which the parts arrive.',
    },
  }
  const asJson = Object.fromEntries(JSON_FIELDS.map((name) => [name, { contentType: JSON_TYPE }]))
  return {
    schema: {
      ...schema,
      description:
        'The fields as text, each once; `metadata` and `images` as JSON. Files are parts named `image`.',
      properties,
    },
    encoding: { ...asJson, [IMAGE_PART]: { contentType: IMAGE_TYPES.join(', ') } },
  }
}

const JSON_TYPE = 'application/json'
const JSON_FIELDS = ['images', 'metadata']
const IMAGE_TYPES = ['image/png', 'image/jpeg', 'image/webp']
