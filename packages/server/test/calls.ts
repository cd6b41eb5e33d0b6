import type { ProcedureFacts } from '../src/http/procedures.ts'
import type { TestApp, TestResponse } from './harness.ts'

export type Face = 'rest' | 'trpc'
export const FACES: readonly Face[] = ['rest', 'trpc']

export type Input = Readonly<Record<string, unknown>>

export interface Call {
  readonly method: string
  readonly path: string
  readonly body?: unknown
}

const encode = (value: unknown) => encodeURIComponent(String(value))

/** How a client calls a procedure over one of its faces. */
export function callOf(face: Face, procedure: ProcedureFacts, input: Input): Call {
  return face === 'rest' ? restCall(procedure, input) : trpcCall(procedure, input)
}

function restCall({ name, rest }: ProcedureFacts, input: Input): Call {
  if (rest === undefined) throw new Error(`${name} has no REST route`)
  const left = new Map(Object.entries(input))
  const path = rest.path.replaceAll(/\{(\w+)\}/g, (_, param: string) => {
    const value = left.get(param)
    left.delete(param)
    return encode(value)
  })
  if (rest.method !== 'GET' && rest.method !== 'DELETE') {
    return { method: rest.method, path, body: Object.fromEntries(left) }
  }
  const query = [...left].flatMap(([field, value]) =>
    [value].flat().map((one) => `${encode(field)}=${encode(one)}`),
  )
  return { method: rest.method, path: query.length === 0 ? path : `${path}?${query.join('&')}` }
}

function trpcCall({ name, type }: ProcedureFacts, input: Input): Call {
  if (type === 'mutation') return { method: 'POST', path: `/trpc/${name}`, body: input }
  return { method: 'GET', path: `/trpc/${name}?input=${encode(JSON.stringify(input))}` }
}

export const send = (
  app: Pick<TestApp, 'request'>,
  { method, path, body }: Call,
  options: { token?: string; ip?: string; headers?: Record<string, string> } = {},
): Promise<TestResponse> =>
  app.request(method, path, body === undefined ? options : { ...options, body })

let addresses = 0

/** An address that no other call used, for calls that a limit by address would mix up. */
export const freshIp = (): string => {
  const n = ++addresses
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`
}
