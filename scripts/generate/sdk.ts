import type { ProcedureFacts } from '../../packages/server/src/http/procedures.ts'
import { jsdoc } from './jsdoc.ts'
import { type Documentation, type Method, pascalCase, toMethod } from './methods.ts'
import type { Schema } from './json-schema.ts'
import { createTypeWriter } from './type-writer.ts'

const HEADER =
  '// Written by scripts/generate.ts from the router; `pnpm generate` writes it anew.\n'

/** Methods that the client has by hand: they follow a generation, and take files. */
const BY_HAND: ReadonlySet<string> = new Set(['generate'])

/**
 * Name of an SDK file → its text.
 *
 * @param told what no procedure answers and yet is told: events and messages
 */
export function generateSdk(
  procedures: readonly ProcedureFacts[],
  documentationOf: (name: string) => Documentation,
  told: readonly Schema[] = [],
): Record<string, string> {
  const writer = createTypeWriter()
  for (const schema of told) writer.typeOf(schema, 'output')
  const methods = procedures.map((one) => toMethod(one, documentationOf(one.name), writer))
  const groups = groupBy(methods)
  const declarations = writer.declarations()
  return {
    'types.ts': [HEADER, [...declarations.values()].join('\n\n'), ''].join('\n'),
    'api.ts': apiFile(groups, [...declarations.keys()]),
    'create-api.ts': createApiFile(groups),
  }
}

type Groups = Map<string, Method[]>

function groupBy(methods: readonly Method[]): Groups {
  const groups: Groups = new Map()
  for (const method of methods) {
    const list = groups.get(method.group) ?? []
    groups.set(method.group, [...list, method])
  }
  return groups
}

const interfaceName = (group: string): string => `${pascalCase(group)}Api`

function apiFile(groups: Groups, declared: readonly string[]): string {
  const grouped = [...groups].filter(([group]) => group !== '')
  const interfaces = grouped.map(([group, methods]) =>
    [`export interface ${interfaceName(group)} {`, ...signatures(methods), '}'].join('\n'),
  )
  const api = [
    ...jsdoc(['The methods of the API.']),
    'export interface Api {',
    ...signatures(groups.get('') ?? []),
    ...grouped.map(([group]) => `  readonly ${group}: ${interfaceName(group)}`),
    '}',
  ].join('\n')
  const body = [...interfaces, api].join('\n\n')
  return [
    HEADER,
    "import type { CallOptions } from '../bounds.ts'",
    ...imports('../call.ts', ['Call'], body),
    ...imports('../page.ts', ['PageCall'], body),
    ...imports('../results.ts', ['GenerationResult'], body),
    ...imports('./types.ts', declared, body),
    '',
    body,
    '',
  ].join('\n')
}

function imports(from: string, names: readonly string[], body: string): string[] {
  const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(body))
  if (used.length === 0) return []
  return used.length === 1
    ? [`import type { ${used[0]} } from '${from}'`]
    : ['import type {', ...used.map((name) => `  ${name},`), `} from '${from}'`]
}

function signatures(methods: readonly Method[]): string[] {
  return methods.flatMap(({ name, input, output, entry, doc }) => {
    const argument =
      input === undefined ? [] : [`input${input.isOptional ? '?' : ''}: ${input.type}`]
    const list = [...argument, 'options?: CallOptions'].join(', ')
    const answer = entry === undefined ? `Call<${output}>` : `PageCall<${entry}>`
    return [...jsdoc(doc, '  '), `  ${name}(${list}): ${answer}`]
  })
}

function createApiFile(groups: Groups): string {
  const body = [...groups].flatMap(([group, methods]) =>
    group === ''
      ? methods.filter(isGenerated).map((method) => `  ${implementation(method)},`)
      : [`  ${group}: {`, ...methods.map((method) => `    ${implementation(method)},`), '  },'],
  )
  return [
    HEADER,
    "import type { Requests } from '../request.ts'",
    "import type { Api } from './api.ts'",
    '',
    '/** The methods over one way of sending requests. */',
    `export const createApi = ({ request, list }: Requests): ${typeOfApi(groups)} => ({`,
    ...body,
    '})',
    '',
  ].join('\n')
}

const isGenerated = ({ path }: Method): boolean => !BY_HAND.has(path)

function typeOfApi(groups: Groups): string {
  const others = (groups.get('') ?? []).filter((method) => !isGenerated(method))
  if (others.length === 0) return 'Api'
  return `Omit<Api, ${others.map(({ name }) => `'${name}'`).join(' | ')}>`
}

function implementation({ name, path, type, input, entry }: Method): string {
  const parameters = input === undefined ? 'options' : 'input, options'
  const sent = input === undefined ? '{}' : input.isOptional ? 'input ?? {}' : 'input'
  const call = entry === undefined ? `request('${type}', ` : 'list('
  return `${name}: (${parameters}) => ${call}'${path}', ${sent}, options)`
}
