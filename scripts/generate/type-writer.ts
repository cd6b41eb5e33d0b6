import { fieldDoc, jsdoc, sentence } from './jsdoc.ts'
import {
  type Io,
  isVoid,
  type JsonSchema,
  nameOf,
  type Schema,
  toJsonSchema,
} from './json-schema.ts'

/** Writes TypeScript types, and collects each schema that has an id as a declaration of its own. */
export interface TypeWriter {
  typeOf(schema: Schema, io: Io): string
  /** The collected declarations by name. */
  declarations(): Map<string, string>
}

type Defs = Record<string, JsonSchema>

export function createTypeWriter(): TypeWriter {
  const declared = new Map<string, string>()
  return {
    typeOf: (schema, io) => {
      if (isVoid(schema)) return 'void'
      const json = toJsonSchema(schema, io)
      const defs = json.$defs ?? {}
      for (const [name, def] of Object.entries(defs))
        declare(declared, name, declaration(name, def, defs))
      return expression(json, defs, '')
    },
    declarations: () => new Map([...declared].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
}

function declare(declared: Map<string, string>, name: string, text: string): void {
  const known = declared.get(name)
  if (known !== undefined && known !== text) {
    throw new Error(`Two different types have the id "${name}":\n\n${known}\n\n${text}`)
  }
  declared.set(name, text)
}

function declaration(name: string, def: JsonSchema, defs: Defs): string {
  if (!/^[A-Z]\w*$/.test(name)) throw new Error(`The id "${name}" is not the name of a type`)
  const doc = jsdoc([def.description && sentence(def.description)])
  const text =
    def.properties === undefined
      ? wrapUnion(`export type ${name} = ${expression(def, defs, '')}`, '')
      : [`export interface ${name} ${objectType(def, defs, '')}`]
  return [...doc, ...text].join('\n')
}

function expression(schema: JsonSchema, defs: Defs, indent: string): string {
  const { $ref, enum: values, 'x-extensible-enum': suggested, anyOf, oneOf, allOf, type } = schema
  if ($ref !== undefined) return nameOf($ref)
  if ('const' in schema) return literal(schema.const)
  if (values !== undefined) return union(values.map(literal))
  if (suggested !== undefined) return union([...suggested.map(literal), ANY_TEXT])
  const options = anyOf ?? oneOf
  if (options !== undefined) return union(options.map((one) => expression(one, defs, indent)))
  if (allOf !== undefined) throw new Error('allOf has no type here; give the schema an id')
  if (Array.isArray(type)) {
    return union(type.map((one) => expression({ ...schema, type: one }, defs, indent)))
  }
  return ofType(schema, defs, indent)
}

function ofType(schema: JsonSchema, defs: Defs, indent: string): string {
  switch (schema.type) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'null':
      return schema.type
    case 'integer':
      return 'number'
    case 'array':
      return arrayType(expression(schema.items ?? {}, defs, indent))
    case 'object':
      return objectType(schema, defs, indent)
    case undefined:
      return 'unknown'
    default:
      throw new Error(`No type is known for the JSON Schema type "${schema.type}"`)
  }
}

/** Editors go on suggesting the literals beside it, which they do not beside `string`. */
const ANY_TEXT = '(string & Record<never, never>)'

const literal = (value: unknown): string =>
  typeof value === 'string' ? `'${value.replaceAll(/['\\]/g, '\\$&')}'` : JSON.stringify(value)

const union = (types: string[]): string => [...new Set(types)].join(' | ')

const arrayType = (item: string): string => (item.includes(' | ') ? `(${item})[]` : `${item}[]`)

function objectType(schema: JsonSchema, defs: Defs, indent: string): string {
  const { properties = {}, additionalProperties: rest, required = [] } = schema
  const names = Object.keys(properties)
  if (names.length === 0) {
    const value = typeof rest === 'object' ? expression(rest, defs, indent) : undefined
    return `Record<string, ${value ?? (rest === false ? 'never' : 'unknown')}>`
  }
  const inner = `${indent}  `
  const lines = Object.entries(properties).flatMap(([name, field]) => {
    const followed = (field.$ref && defs[nameOf(field.$ref)]) || {}
    const mark = required.includes(name) ? '' : '?'
    const key = /^[a-z_$][\w$]*$/i.test(name) ? name : literal(name)
    const type = expression(field, defs, inner)
    return [
      ...jsdoc(fieldDoc(field, followed), inner),
      ...wrapUnion(`${inner}${key}${mark}: ${type}`, inner),
    ]
  })
  return ['{', ...lines, `${indent}}`].join('\n')
}

/** A long union of literals goes one to a line, as the formatter would have it. */
function wrapUnion(line: string, indent: string): string[] {
  if (line.length <= 100 || line.includes('\n')) return [line]
  const [, head = '', types = ''] = /^(.*?(?::| =)) (.*)$/.exec(line) ?? []
  return [head, ...types.split(' | ').map((one) => `${indent}  | ${one}`)]
}
