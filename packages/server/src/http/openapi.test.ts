import { ERROR_CODES, ERRORS, MODELS } from '@nanobanana/shared'
import { describe, expect, test } from 'vitest'
import { VERSION } from '../kernel/version.ts'
import { appRouter } from '../router.ts'
import { createOpenApiDocument } from './openapi.ts'
import { listProcedures } from './procedures.ts'

type Json = Record<string, unknown>
interface Parameter {
  in: string
  name: string
  description?: string
}
interface Operation {
  operationId: string
  summary: string
  description: string
  tags: string[]
  security: Json[]
  parameters?: Parameter[]
  requestBody?: { content: Json }
  responses: Record<string, { $ref?: string; headers?: Json; content?: Json }>
}

const baseUrl = 'http://127.0.0.1:3000'
const document = createOpenApiDocument(appRouter, { baseUrl, version: VERSION }) as unknown as {
  openapi: string
  servers: Json[]
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json>; responses: Record<string, Json> } & Json
}
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
)
const procedures = listProcedures(appRouter)

function* walk(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return
  yield value as Json
  for (const inner of Object.values(value)) yield* walk(inner)
}

test('is OpenAPI 3.1 with the version and address it was made for', () => {
  expect(document).toMatchObject({
    openapi: '3.1.0',
    info: { version: VERSION },
    servers: [{ url: baseUrl }],
  })
})

test('is the same text each time', () => {
  const again = createOpenApiDocument(appRouter, { baseUrl, version: VERSION })
  expect(JSON.stringify(again)).toBe(JSON.stringify(document))
})

describe.each(procedures)('$name', ({ name, policy, rest }) => {
  const operation = document.paths[rest?.path ?? '']?.[rest?.method.toLowerCase() ?? '']

  test('is described under its path and method', () => {
    expect(operation).toMatchObject({
      operationId: name.replace('.', '_'),
      summary: expect.stringMatching(/\S/),
      description: expect.stringMatching(/\S/),
    })
    const tags = document.tags.map((tag) => tag.name)
    expect(tags).toEqual(expect.arrayContaining(operation?.tags ?? ['none']))
  })

  test('lists the one status of its success, with a body unless it is 204', () => {
    const { responses = {} } = operation ?? {}
    const successes = Object.keys(responses).filter((status) => Number(status) < 400)
    // One that may go on is accepted as well.
    const accepted = name === 'generate' ? ['202'] : []
    expect(successes).toEqual([String(rest?.status), ...accepted])
    const { content, headers } = responses[String(rest?.status)] ?? {}
    expect(content === undefined).toBe(rest?.status === 204)
    expect(headers).toHaveProperty('X-Request-Id')
    expect(Object.hasOwn(headers ?? {}, 'RateLimit')).toBe(policy.kind !== 'public')
  })

  test('names the credentials it takes', () => {
    const credentials = {
      public: [],
      session: [{ accessToken: [] }],
      scope: [{ apiKey: [] }, { accessToken: [] }],
    }
    expect(operation?.security).toEqual(credentials[policy.kind])
  })
})

test('statuses other than 200 are those of the design', () => {
  const byStatus = (status: number) =>
    procedures.filter(({ rest }) => rest?.status === status).map(({ name }) => name)
  expect(byStatus(201)).toEqual([
    'auth.register',
    'keys.create',
    'keys.rotate',
    'webhooks.create',
    'webhooks.rotate_secret',
  ])
  expect(byStatus(204).toSorted()).toEqual([
    'auth.delete_account',
    'auth.logout',
    'auth.logout_all',
    'auth.password',
    'generations.delete',
    'keys.revoke',
    'webhooks.delete',
  ])
})

test('every failure refers to an answer with the one error shape', () => {
  for (const { responses } of operations) {
    for (const [status, { $ref }] of Object.entries(responses)) {
      // 416 has no body: it is the answer to a Range header.
      if (Number(status) >= 400 && status !== '416') {
        expect($ref).toBe(`#/components/responses/Error${status}`)
      }
    }
  }
  for (const response of Object.values(document.components.responses)) {
    expect(response['content']).toEqual({
      'application/json': { schema: { $ref: '#/components/schemas/Error' } },
    })
  }
})

test('the error schema has every type and code of the table', () => {
  const error = {
    properties: {
      type: { enum: [...new Set(ERROR_CODES.map((code) => ERRORS[code].type))] },
      code: { enum: ERROR_CODES },
    },
    required: ['type', 'code', 'message', 'param', 'request_id'],
  }
  expect(document.components.schemas['Error']).toMatchObject({ properties: { error } })
})

test('a status names the codes of the table that have it', () => {
  const { Error409: conflict } = document.components.responses
  expect(conflict?.['description']).toContain('`email_taken`')
  expect(conflict?.['description']).not.toContain('`not_found`')
})

test('generate takes an Idempotency-Key, says when it was replayed and refuses for its reasons', () => {
  const { parameters, responses } = document.paths['/v1/generate']!['post']!
  expect(parameters).toMatchObject([
    { in: 'header', name: 'Idempotency-Key', required: false },
    { in: 'header', name: 'Prefer', required: false },
  ])
  expect(responses['200']?.headers).toHaveProperty('Idempotent-Replayed')
  expect(Object.keys(responses)).toEqual(expect.arrayContaining(['402', '409', '422', '429']))
  const { Error409: conflict } = document.components.responses
  expect(conflict?.['headers']).toHaveProperty('Retry-After')
  const takers = operations.filter(({ parameters: list = [] }) =>
    list.some((one) => one.in === 'header'),
  )
  expect(takers.map(({ path }) => path)).toEqual([
    '/v1/generate',
    '/v1/generations/{id}',
    '/v1/images/edits',
    '/v1/images/generations',
  ])
})

test('no operation has a password in its query', () => {
  const names = operations.flatMap(({ parameters = [] }) => parameters.map(({ name }) => name))
  expect(names).toContain('limit')
  expect(names.filter((name) => /password|secret|token/i.test(name))).toEqual([])
})

test('every reference leads somewhere', () => {
  const refs = [...walk(document)].flatMap(({ $ref }) => (typeof $ref === 'string' ? [$ref] : []))
  expect(refs.length).toBeGreaterThan(100)
  for (const ref of new Set(refs)) {
    const steps = ref.replace('#/', '').split('/')
    const target = steps.reduce<unknown>((at, step) => (at as Json | undefined)?.[step], document)
    expect(target, ref).toBeDefined()
  }
})

test('every operation has an id of its own', () => {
  const ids = operations.map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
})

test('the description of an optional query field is kept', () => {
  const list = document.paths['/v1/generations']?.['get']?.parameters
  expect(list?.find(({ name }) => name === 'cursor')?.description).toContain('next_cursor')
  expect(list?.find(({ name }) => name === 'mode')?.description).toContain('default `live`')
})

test('an input refuses unknown fields, an output may gain some', () => {
  const { schemas } = document.components
  for (const name of ['GenerateInput', 'UploadInput', 'ReferenceInput'])
    expect(schemas[name]).toMatchObject({ additionalProperties: false })
  const update = document.paths['/v1/keys/{id}']?.['patch']?.requestBody?.content
  expect(update?.['application/json']).toMatchObject({ schema: { additionalProperties: false } })
  for (const name of ['Generation', 'ApiKey', 'Usage', 'Error']) {
    const closed = [...walk(schemas[name])].filter((one) => one['additionalProperties'] === false)
    expect(closed).toEqual([])
  }
})

test('images are at most 14 uploads in base64 or references, and a model is any of an open list', () => {
  const { schemas } = document.components
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
  expect(schemas['GenerateInput']).toMatchObject({
    properties: { images: { type: 'array', maxItems: 14, items: ref('ImageInput') } },
  })
  expect(schemas['ImageInput']).toEqual({ anyOf: [ref('UploadInput'), ref('ReferenceInput')] })
  expect(schemas['UploadInput']).toMatchObject({
    properties: { data: { type: 'string', contentEncoding: 'base64' } },
    required: ['data'],
  })
  expect(schemas['ModelName']).toMatchObject({
    type: 'string',
    examples: MODELS.map(({ id }) => id),
    'x-extensible-enum': MODELS.flatMap(({ id, aliases }) => [id, ...aliases]),
  })
  expect(schemas['ModelName']).not.toHaveProperty('enum')
})

test('what takes images takes them as JSON and as a form, with the same fields', () => {
  for (const { takesUploads, rest } of procedures) {
    const { content = {} } =
      document.paths[rest?.path ?? '']?.[rest?.method.toLowerCase() ?? '']?.requestBody ?? {}
    const isForm = Object.keys(content).includes('multipart/form-data')
    expect(isForm, rest?.path).toBe(takesUploads === true)
  }
  const { content = {} } = document.paths['/v1/generate']?.['post']?.requestBody ?? {}
  const form = content['multipart/form-data'] as { schema: { properties: Json } }
  const { image, ...fields } = form.schema.properties
  expect(fields).toEqual(document.components.schemas['GenerateInput']?.['properties'])
  expect(image).toMatchObject({ type: 'array', items: { type: 'string', format: 'binary' } })
})
