import { badRequest, GoogleError } from './google-error.ts'
import { isObject } from './json.ts'
import type { JsonObject } from './json.ts'

/** `any` is not looked into; a list also takes a single value, as Google's JSON reader does. */
type Shape = 'any' | { fields: Record<string, Shape> } | { list: Shape }

interface Violation {
  field: string
  description: string
}

const PART: Shape = {
  fields: {
    ...opaque('text thought thoughtSignature functionCall functionResponse executableCode'),
    ...opaque('codeExecutionResult videoMetadata mediaResolution partMetadata'),
    ...opaque('toolCall toolResponse'),
    inlineData: { fields: opaque('mimeType data') },
    fileData: { fields: opaque('mimeType fileUri') },
  },
}
const CONTENT: Shape = { fields: { parts: { list: PART }, role: 'any' } }

const IMAGE_FORMAT: Shape = {
  fields: { image: { fields: opaque('aspectRatio imageSize mimeType delivery') } },
}

const GENERATION_CONFIG: Record<string, Shape> = {
  ...opaque('candidateCount stopSequences maxOutputTokens temperature topP topK seed'),
  ...opaque('presencePenalty frequencyPenalty responseLogprobs logprobs responseMimeType'),
  ...opaque('responseSchema responseJsonSchema responseModalities mediaResolution'),
  ...opaque('speechConfig audioTranscriptionConfig enableEnhancedCivicAnswers'),
  thinkingConfig: { fields: opaque('includeThoughts thinkingBudget thinkingLevel') },
  imageConfig: { fields: opaque('aspectRatio imageSize') },
  responseFormat: { list: IMAGE_FORMAT },
}

/**
 * Checks a generateContent body against the fields Google knows and gives it back with every
 * snake_case name turned into camelCase, since Google reads both.
 */
export function readGenerateFields(body: unknown, unknown: readonly string[] = []): JsonObject {
  const config = Object.fromEntries(
    Object.entries(GENERATION_CONFIG).filter(([name]) => !unknown.includes(name)),
  )
  return readFields(body, {
    fields: {
      ...opaque('model serviceTier tools toolConfig labels cachedContent continuationToken store'),
      contents: { list: CONTENT },
      systemInstruction: CONTENT,
      safetySettings: { list: { fields: opaque('category threshold') } },
      generationConfig: { fields: config },
    },
  })
}

export function readCountFields(body: unknown): JsonObject {
  return readFields(body, {
    fields: { contents: { list: CONTENT }, generateContentRequest: 'any' },
  })
}

function readFields(body: unknown, shape: Shape): JsonObject {
  const violations: Violation[] = []
  const read = readValue(body, shape, '', violations)
  if (violations.length > 0) throw new GoogleError(badRequest(violations))
  return read as JsonObject
}

function readValue(value: unknown, shape: Shape, path: string, violations: Violation[]): unknown {
  if (shape === 'any' || value === null) return value
  if ('list' in shape) {
    const items = Array.isArray(value) ? value : [value]
    return items.map((item, index) => readValue(item, shape.list, `${path}[${index}]`, violations))
  }
  if (isObject(value)) return readObject(value, shape.fields, path, violations)
  violations.push({
    field: path,
    description: `Invalid value at '${path}', ${JSON.stringify(value)}`,
  })
  return {}
}

function readObject(
  value: JsonObject,
  fields: Record<string, Shape>,
  path: string,
  violations: Violation[],
): JsonObject {
  const read: JsonObject = {}
  for (const [key, inner] of Object.entries(value)) {
    const name = toCamelCase(key)
    const shape = Object.hasOwn(fields, name) ? fields[name] : undefined
    const innerPath = path ? `${path}.${toSnakeCase(name)}` : toSnakeCase(name)
    if (shape) read[name] = readValue(inner, shape, innerPath, violations)
    else violations.push(unknownName(key, path))
  }
  return read
}

function unknownName(key: string, path: string): Violation {
  const place = path ? ` at '${path}'` : ''
  return {
    field: path,
    description: `Invalid JSON payload received. Unknown name "${key}"${place}: Cannot find field.`,
  }
}

function opaque(names: string): Record<string, Shape> {
  return Object.fromEntries(names.split(' ').map((name) => [name, 'any']))
}

function toCamelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function toSnakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
