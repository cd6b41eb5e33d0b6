import { expect, test } from 'vitest'
import type { ProcedureFacts } from '../../packages/server/src/http/procedures.ts'
import {
  ApiKey,
  ApiKeyPage,
  Generation,
  GenerationEvent,
  KeyIdInput,
  ListKeysInput,
  NoInput,
} from '../../packages/shared/src/index.ts'
import { generateSdk } from './sdk.ts'

const procedure = (facts: Partial<ProcedureFacts>): ProcedureFacts => ({
  name: 'keys.get',
  type: 'query',
  policy: { kind: 'public' },
  input: KeyIdInput,
  output: ApiKey,
  ...facts,
})
const documented = () => ({ summary: 'Does it', description: 'At once.' })
const generate = (facts: Partial<ProcedureFacts>) => generateSdk([procedure(facts)], documented)

test('a procedure becomes a method with its documentation', () => {
  const files = generate({})
  expect(files['api.ts']).toContain(
    'export interface KeysApi {\n  /**\n   * Does it.\n   *\n   * At once.\n   */\n  get(input: KeyIdInput, options?: CallOptions): Call<ApiKey>\n}',
  )
  expect(files['create-api.ts']).toContain(
    "get: (input, options) => request('query', 'keys.get', input, options),",
  )
  expect(files['types.ts']).toContain('export interface ApiKey {')
})

test('an input whose every field is optional is an optional argument', () => {
  const files = generate({ name: 'keys.list', input: ListKeysInput, output: ApiKeyPage })
  expect(files['api.ts']).toContain('list(input?: ListKeysInput, options?: CallOptions)')
  expect(files['create-api.ts']).toContain("'keys.list', input ?? {}, options)")
})

test('a page of a list becomes a list of its entries', () => {
  const files = generate({ name: 'keys.list', input: ListKeysInput, output: ApiKeyPage })
  expect(files['api.ts']).toContain('options?: CallOptions): PageCall<ApiKey>')
  expect(files['api.ts']).toContain("import type { PageCall } from '../page.ts'")
  expect(files['create-api.ts']).toContain("(input, options) => list('keys.list', ")
})

test('a generation is answered with images that can be read', () => {
  const files = generate({ name: 'generations.get', output: Generation })
  expect(files['api.ts']).toContain('): Call<GenerationResult>')
  expect(files['types.ts']).toContain('export interface Generation {')
})

test('what is told and no procedure answers has a type too', () => {
  const files = generateSdk([procedure({})], documented, [GenerationEvent])
  expect(files['types.ts']).toContain(
    "export type GenerationEvent = {\n  type: 'generation.queued'",
  )
})

test('a procedure without input has no argument for it, and is sent an empty object', () => {
  const files = generate({ name: 'keys.drop_all', type: 'mutation', input: NoInput })
  expect(files['api.ts']).toContain('dropAll(options?: CallOptions)')
  expect(files['create-api.ts']).toContain(
    "dropAll: (options) => request('mutation', 'keys.drop_all', {}, options),",
  )
})

test('a procedure on the first level becomes a method of the client', () => {
  const files = generate({ name: 'paint' })
  expect(files['api.ts']).toMatch(/export interface Api \{[^}]*\n {2}paint\(/)
  expect(files['create-api.ts']).toContain("\n  paint: (input, options) => request('query'")
})

test('what the client has by hand is in its interface alone', () => {
  const files = generate({ name: 'generate' })
  expect(files['api.ts']).toMatch(/export interface Api \{[^}]*\n {2}generate\(/)
  expect(files['create-api.ts']).toContain("Omit<Api, 'generate'> => ({\n})")
})

test('every file says that it is generated', () => {
  for (const text of Object.values(generate({}))) expect(text).toMatch(/^\/\/ Written by scripts\//)
})

test('a procedure without a summary stops the generator', () => {
  expect(() => generateSdk([procedure({})], () => ({}))).toThrow('keys.get has no summary')
})

test('a procedure nested deeper than the client stops the generator', () => {
  expect(() => generate({ name: 'a.b.c' })).toThrow('a.b.c is nested deeper')
})
