import type { ProcedureFacts } from '../../packages/server/src/http/procedures.ts'

/** A zod schema; zod itself is a dependency of the packages, not of the scripts. */
export type Schema = ProcedureFacts['input']

/** What zod writes as JSON Schema, as far as our schemas use it. */
export interface JsonSchema {
  $ref?: string
  $defs?: Record<string, JsonSchema>
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  /** Values of an open list: suggested, and any other is taken. */
  'x-extensible-enum'?: unknown[]
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  allOf?: JsonSchema[]
  items?: JsonSchema
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: boolean | JsonSchema
  format?: string
  description?: string
  default?: unknown
}

export type Io = 'input' | 'output'

export const toJsonSchema = (schema: Schema, io: Io): JsonSchema =>
  schema.toJSONSchema({ io, unrepresentable: 'any' }) as JsonSchema

/** `#/$defs/Image` → `Image` */
export const nameOf = (ref: string): string => ref.replace('#/$defs/', '')

export const isVoid = ({ def }: Schema): boolean => def.type === 'void' || def.type === 'undefined'

/** The object behind a reference, if that is what it is. */
export function objectOf(schema: JsonSchema): JsonSchema | undefined {
  const { $ref, $defs } = schema
  const target = $ref === undefined ? schema : $defs?.[nameOf($ref)]
  return target?.properties === undefined ? undefined : target
}
