import type { ProcedureFacts } from '../../packages/server/src/http/procedures.ts'
import { jsdoc } from './jsdoc.ts'
import { type Documentation, type Method, pascalCase, toMethod } from './methods.ts'
import { createTypeWriter } from './type-writer.ts'

const HEADER =
  '// Written by scripts/generate.ts from the router; `pnpm generate` writes it anew.\n'

/** Name of an SDK file → its text. */
export function generateSdk(
  procedures: readonly ProcedureFacts[],
  documentationOf: (name: string) => Documentation,
): Record<string, string> {
  const writer = createTypeWriter()
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
  const used = declared.filter((name) => new RegExp(`\\b${name}\\b`).test(body))
  return [
    HEADER,
    "import type { CallOptions } from '../request.ts'",
    'import type {',
    ...used.map((name) => `  ${name},`),
    "} from './types.ts'",
    '',
    body,
    '',
  ].join('\n')
}

function signatures(methods: readonly Method[]): string[] {
  return methods.flatMap(({ name, input, output, doc }) => {
    const argument =
      input === undefined ? [] : [`input${input.isOptional ? '?' : ''}: ${input.type}`]
    const list = [...argument, 'options?: CallOptions'].join(', ')
    return [...jsdoc(doc, '  '), `  ${name}(${list}): Promise<${output}>`]
  })
}

function createApiFile(groups: Groups): string {
  const body = [...groups].flatMap(([group, methods]) =>
    group === ''
      ? methods.map((method) => `  ${implementation(method)},`)
      : [`  ${group}: {`, ...methods.map((method) => `    ${implementation(method)},`), '  },'],
  )
  return [
    HEADER,
    "import type { Request } from '../request.ts'",
    "import type { Api } from './api.ts'",
    '',
    '/** The methods over one way of sending requests. */',
    'export const createApi = (request: Request): Api => ({',
    ...body,
    '})',
    '',
  ].join('\n')
}

function implementation({ name, path, type, input }: Method): string {
  const parameters = input === undefined ? 'options' : 'input, options'
  const sent = input === undefined ? '{}' : input.isOptional ? 'input ?? {}' : 'input'
  return `${name}: (${parameters}) => request('${type}', '${path}', ${sent}, options)`
}
