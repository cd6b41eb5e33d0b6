import type { ProcedureFacts } from '../../packages/server/src/http/procedures.ts'
import { sentence } from './jsdoc.ts'
import { isVoid, nameOf, objectOf, type Schema, toJsonSchema } from './json-schema.ts'
import type { TypeWriter } from './type-writer.ts'

/** A procedure as a method of the client. */
export interface Method {
  /** Empty for a method of the client itself. */
  readonly group: string
  readonly name: string
  /** Name of the procedure. */
  readonly path: string
  readonly type: 'query' | 'mutation'
  /** Undefined where the procedure takes no input. */
  readonly input: { readonly type: string; readonly isOptional: boolean } | undefined
  readonly output: string
  /** Type of an entry, where the output is a page of a list. */
  readonly entry: string | undefined
  readonly doc: readonly string[]
}

export interface Documentation {
  readonly summary?: string | undefined
  readonly description?: string | undefined
}

export function toMethod(
  procedure: ProcedureFacts,
  documentation: Documentation,
  writer: TypeWriter,
): Method {
  const { name: path, type, output } = procedure
  const parts = path.split('.').map(camelCase)
  const name = parts.pop() ?? path
  if (parts.length > 1) throw new Error(`${path} is nested deeper than the client is`)
  if (documentation.summary === undefined) throw new Error(`${path} has no summary`)
  return {
    group: parts[0] ?? '',
    name,
    path,
    type,
    input: inputOf(procedure, writer),
    output: isVoid(output) ? 'void' : asResult(writer.typeOf(output, 'output')),
    entry: entryOf(output, writer),
    doc: [documentation.summary, documentation.description]
      .filter((text) => text !== undefined)
      .map(sentence),
  }
}

/** What the SDK answers in the place of what is on the wire: its images can be read. */
const RESULTS: Readonly<Record<string, string>> = { Generation: 'GenerationResult' }
const asResult = (type: string): string => RESULTS[type] ?? type

function entryOf(output: Schema, writer: TypeWriter): string | undefined {
  if (isVoid(output)) return undefined
  const { data, next_cursor: cursor } = objectOf(toJsonSchema(output, 'output'))?.properties ?? {}
  if (cursor === undefined || data?.items === undefined) return undefined
  writer.typeOf(output, 'output')
  return asResult(nameOf(data.items.$ref ?? ''))
}

function inputOf({ name, input }: ProcedureFacts, writer: TypeWriter): Method['input'] {
  const object = objectOf(toJsonSchema(input, 'input'))
  if (object === undefined) throw new Error(`The input of ${name} is no object`)
  if (Object.keys(object.properties ?? {}).length === 0) return undefined
  const isOptional = (object.required ?? []).length === 0
  return { type: writer.typeOf(input, 'input'), isOptional }
}

export const camelCase = (name: string): string =>
  name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

export const pascalCase = (name: string): string =>
  name.charAt(0).toUpperCase() + camelCase(name.slice(1))
