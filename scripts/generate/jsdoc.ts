import type { JsonSchema } from './json-schema.ts'

const WIDTH = 100

/** The lines of a comment of these paragraphs, indented; none for no text. */
export function jsdoc(paragraphs: readonly (string | undefined)[], indent = ''): string[] {
  const texts = paragraphs.filter((text) => text !== undefined && text !== '') as string[]
  const [only] = texts
  if (only === undefined) return []
  const oneLine = `${indent}/** ${escape(only)} */`
  if (texts.length === 1 && oneLine.length <= WIDTH && !only.includes('\n')) return [oneLine]
  const lines = texts.flatMap((text, i) => [
    ...(i > 0 && !text.startsWith('@default') ? [''] : []),
    ...wrap(escape(text), WIDTH - indent.length - 3),
  ])
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`.trimEnd()), `${indent} */`]
}

const escape = (text: string): string => text.replaceAll('*/', '*\\/')

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}

/** What a field's comment says: its description, how to read it, and its default. */
export function fieldDoc(field: JsonSchema, followed: JsonSchema): string[] {
  const options = [field, ...(field.anyOf ?? [])]
  const text = options.find(({ description }) => description)?.description ?? followed.description
  const isTime = options.some(({ format }) => format === 'date-time')
  const paragraphs = text ?? (isTime ? 'RFC 3339 time in UTC.' : undefined)
  const saysDefault = paragraphs?.includes('Default') ?? false
  return [
    ...(paragraphs === undefined ? [] : [sentence(paragraphs)]),
    ...(field.default === undefined || saysDefault
      ? []
      : [`@default ${JSON.stringify(field.default).replaceAll('"', "'")}`]),
  ]
}

export const sentence = (text: string): string => (/[.!?:`)]$/.test(text) ? text : `${text}.`)
