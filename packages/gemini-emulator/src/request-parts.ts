import { badRequest, GoogleError, invalidArgument } from './google-error.ts'
import { asList, asObject } from './json.ts'
import type { JsonObject } from './json.ts'

export interface Prompt {
  /** The text parts of the last turn: what a marker is looked for in. */
  text: string
  textTokens: number
  images: number
}

const INPUT_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/** Reads and checks the turns of a request; `fields` has been through the field check. */
export function readPrompt(fields: JsonObject): Prompt {
  const contents = asList(fields.contents).map(asObject)
  if (contents.length === 0) {
    throw new GoogleError(
      invalidArgument('* GenerateContentRequest.contents: contents is not specified\n'),
    )
  }
  const turns = contents.map((content, index) => readTurn(content, index))
  const allText = [...turns.map((turn) => turn.text), systemText(fields)].join('')
  return {
    text: turns.at(-1)?.text ?? '',
    textTokens: Math.max(1, Math.ceil(allText.length / 4)),
    images: turns.reduce((sum, turn) => sum + turn.images, 0),
  }
}

function readTurn(content: JsonObject, index: number): { text: string; images: number } {
  const parts = asList(content.parts).map(asObject)
  parts.forEach((part, at) => checkPart(part, `contents[${index}].parts[${at}]`))
  return {
    text: parts
      .filter((part) => typeof part.text === 'string')
      .map((part) => String(part.text))
      .join('\n'),
    images: parts.filter((part) => part.inlineData || part.fileData).length,
  }
}

function checkPart(part: JsonObject, path: string): void {
  if (part.text !== undefined && typeof part.text !== 'string') {
    throw invalidValue(`${path}.text`, 'TYPE_STRING', part.text)
  }
  if (part.inlineData === undefined) return
  const { mimeType, data } = asObject(part.inlineData)
  if (typeof mimeType !== 'string' || !INPUT_TYPES.includes(mimeType)) {
    const text =
      `* GenerateContentRequest.${path}.inline_data.mime_type: MIME type must be ` +
      'image/png, image/jpeg, image/webp, image/heic, or image/heif.\n'
    throw new GoogleError(invalidArgument(text))
  }
  if (typeof data !== 'string' || !BASE64.test(data)) {
    throw invalidValue(`${path}.inline_data.data`, 'TYPE_BYTES', String(data).slice(0, 40))
  }
  if (!looksLikePicture(data)) throw new GoogleError(invalidArgument('Provided image is not valid'))
}

function looksLikePicture(base64: string): boolean {
  const head = Buffer.from(base64.slice(0, 32), 'base64').toString('latin1')
  return (
    head.startsWith('\x89PNG') ||
    head.startsWith('\xff\xd8\xff') ||
    (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') ||
    head.slice(4, 8) === 'ftyp'
  )
}

export function invalidValue(path: string, type: string, value: unknown): GoogleError {
  const description = `Invalid value at '${path}' (${type}), ${JSON.stringify(value)}`
  return new GoogleError(badRequest([{ field: path, description }]))
}

function systemText(fields: JsonObject): string {
  return asList(asObject(fields.systemInstruction).parts)
    .map((part) => String(asObject(part).text ?? ''))
    .join('')
}
