import type { z } from 'zod'

/** Turns the strings of a query or path into the types a schema asks for; what does not fit stays a string. */
export type Coerce = (strings: Record<string, string | string[]>) => Record<string, unknown>

type Convert = (value: string) => unknown

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?$/

const toNumber: Convert = (value) => (NUMBER.test(value) ? Number(value) : value)
const toBoolean: Convert = (value) => (value === 'true' ? true : value === 'false' ? false : value)
const asIs: Convert = (value) => value

/** Reads the schema once; the schema itself is never changed. */
export function createCoerce(schema: z.ZodType): Coerce {
  const fields = new Map(
    Object.entries(shapeOf(schema)).map(([name, field]) => [name, convertOf(field)]),
  )
  return (strings) =>
    Object.fromEntries(
      Object.entries(strings).map(([name, value]) => [name, fields.get(name)?.(value) ?? value]),
    )
}

interface Def {
  type: string
  innerType?: z.ZodType
  in?: z.ZodType
  element?: z.ZodType
}
const defOf = (schema: z.ZodType): Def => schema._zod.def as unknown as Def

/** Fields of an object schema, under any number of wrappers. */
export function shapeOf(schema: z.ZodType): Record<string, z.ZodType> {
  const inner = unwrap(schema)
  return defOf(inner).type === 'object'
    ? ((inner as z.ZodObject<z.ZodRawShape>).shape as Record<string, z.ZodType>)
    : {}
}

const TEXT_TYPES = new Set(['string', 'number', 'boolean', 'enum', 'literal'])

/** Whether a text can say what the field takes. */
export const isText = (field: z.ZodType): boolean => TEXT_TYPES.has(defOf(unwrap(field)).type)

function unwrap(schema: z.ZodType): z.ZodType {
  const { innerType, in: input } = defOf(schema)
  const inner = innerType ?? input
  return inner === undefined ? schema : unwrap(inner)
}

function convertOf(field: z.ZodType): (value: string | string[]) => unknown {
  const def = defOf(unwrap(field))
  if (def.type === 'array' && def.element !== undefined) {
    const convert = scalar(def.element)
    return (value) => (Array.isArray(value) ? value : [value]).map(convert)
  }
  const convert = scalar(unwrap(field))
  // A scalar given twice stays an array, which the schema refuses.
  return (value) => (Array.isArray(value) ? value : convert(value))
}

function scalar(schema: z.ZodType): Convert {
  const { type } = defOf(unwrap(schema))
  if (type === 'number') return toNumber
  return type === 'boolean' ? toBoolean : asIs
}
