import type { AnyTRPCRouter } from '@trpc/server'
import { generateOpenApiDocument } from 'trpc-to-openapi'
import {
  errorComponents,
  errorResponses,
  errorSchema,
  header,
  HEADERS,
  LIMIT_HEADERS,
} from './openapi-errors.ts'
import { OPENAI_TAG, openAiPaths, openAiSchemas } from './openai/document.ts'
import { formContent } from './openapi-forms.ts'
import {
  ACCEPTED_HEADERS,
  eventSchemas,
  eventStream,
  MADE_HEADERS,
  REQUEST_HEADERS,
} from './openapi-generate.ts'
import { listProcedures, type ProcedureFacts } from './procedures.ts'

type Json = Record<string, unknown>
interface Operation extends Json {
  responses: Record<string, Json>
  security?: Json[]
  requestBody?: { content: Record<string, Json> } & Json
  parameters?: Json[]
}
interface Document extends Json {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json> } & Json
}

const DESCRIPTION = `Makes pictures from words.

Register an account, log in, create an API key, and call \`POST /v1/generate\` with it. Every error
has the one shape of the schema \`Error\`; \`x-should-retry\` says whether a repeat can help.`

/** The OpenAPI 3.1 document of the REST face. */
export function createOpenApiDocument(
  router: AnyTRPCRouter,
  options: { baseUrl: string; version: string },
): Document {
  const document = generateOpenApiDocument(router as never, {
    title: 'NanoBanana',
    description: DESCRIPTION,
    version: options.version,
    openApiVersion: '3.1.0',
    baseUrl: options.baseUrl,
    license: { name: 'MIT', identifier: 'MIT' },
    contact: { name: 'The operator of this service', url: options.baseUrl },
    securitySchemes: {
      apiKey: {
        type: 'http',
        scheme: 'bearer',
        description: 'API key: `nb_live_…` or `nb_test_…`.',
      },
      accessToken: {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'Access token from `POST /v1/auth/login`.',
      },
    },
  }) as unknown as Document
  document['tags'] = TAGS
  allowFurtherFields(outputsOf(document))
  for (const procedure of listProcedures(router)) rewrite(document, procedure)
  document.paths['/v1/images/{id}/content'] = { get: imageContent() }
  Object.assign(document.paths, openAiPaths())
  document.paths = sorted(document.paths)
  document.components = {
    schemas: sorted(schemasOf(document)),
    responses: errorComponents(statusesOf(document)),
    headers: HEADERS,
    securitySchemes: document.components['securitySchemes'],
  }
  dropSafeIntegerBounds(document)
  return document
}

/** Ours, without the error schemas of the generator. */
function schemasOf({ components }: Document): Record<string, Json> {
  const named = Object.entries(components.schemas).filter(([name]) => !name.startsWith('error.'))
  return {
    ...Object.fromEntries(named),
    ...eventSchemas(),
    ...openAiSchemas(),
    Error: errorSchema(),
  }
}

/** Every error status that an operation refers to, in order. */
function statusesOf({ paths }: Document): number[] {
  const operations = Object.values(paths).flatMap((path) => Object.values(path))
  const used = operations.flatMap(({ responses }) =>
    Object.entries(responses).flatMap(([status, { $ref }]) => ($ref ? [Number(status)] : [])),
  )
  return [...new Set(used)].toSorted((a, b) => a - b)
}

/** An output may gain fields, an input with one that is not known is refused. */
const outputsOf = ({ components }: Document): Json =>
  Object.fromEntries(Object.entries(components.schemas).filter(([name]) => !name.endsWith('Input')))

function allowFurtherFields(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const schema = value as Json
  if (schema['additionalProperties'] === false) delete schema['additionalProperties']
  Object.values(schema).forEach(allowFurtherFields)
}

/** What zod writes for every integer says nothing to a reader of JSON. */
function dropSafeIntegerBounds(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const schema = value as Json
  if (schema['minimum'] === Number.MIN_SAFE_INTEGER) delete schema['minimum']
  if (schema['maximum'] === Number.MAX_SAFE_INTEGER) delete schema['maximum']
  Object.values(schema).forEach(dropSafeIntegerBounds)
}

const TAGS = [
  { name: 'auth', description: 'Accounts and access tokens.' },
  { name: 'keys', description: 'API keys.' },
  { name: 'generations', description: 'Making images, and the record of it.' },
  { name: 'images', description: 'The bytes.' },
  { name: 'models', description: 'What can be asked for.' },
  { name: 'usage', description: 'What it came to.' },
  { name: 'webhooks', description: 'Endpoints of yours that are told of what happened.' },
  OPENAI_TAG,
]

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** The generator lists 200, its own error shape and all security schemes everywhere. */
function rewrite(document: Document, procedure: ProcedureFacts): void {
  if (procedure.rest === undefined) return
  const { method, path, status } = procedure.rest
  const operation = document.paths[path]?.[method.toLowerCase()]
  if (operation === undefined) return
  const success = operation.responses['200'] ?? {}
  operation['operationId'] = procedure.name.replaceAll('.', '_')
  operation['description'] ??= `${String(operation['summary'])}.`
  operation.security = SECURITY[procedure.policy.kind]
  if (operation.parameters !== undefined) {
    operation.parameters = parametersOf(operation.parameters, procedure)
  }
  const headers = REQUEST_HEADERS[procedure.name]
  if (headers !== undefined) {
    operation.parameters = [...(operation.parameters ?? []), ...(headers as Json[])]
  }
  nameBody(document, operation, procedure)
  operation.responses = {
    [String(status)]: {
      description: STATUS_TEXT[status],
      headers: {
        ...(procedure.policy.kind === 'public' ? REQUEST_ID_HEADER : KNOWN_HEADERS),
        ...(procedure.name === 'generate' ? MADE_HEADERS : {}),
      },
      ...(status === 204 ? {} : { content: contentOf(success, procedure) }),
    },
    ...(procedure.name === 'generate' ? { 202: accepted(success) } : {}),
    ...errorResponses(errorStatuses(procedure)),
  }
}

const contentOf = (success: Json, { tellsEvents }: ProcedureFacts): unknown =>
  tellsEvents ? { ...(success['content'] as Json), ...eventStream } : success['content']

const accepted = (success: Json): Json => ({
  description: 'Accepted: it goes on, and is found by its id.',
  headers: { ...KNOWN_HEADERS, ...ACCEPTED_HEADERS },
  content: success['content'],
})

/** The generator loses the description of an optional field. */
function parametersOf(parameters: Json[], procedure: ProcedureFacts): Json[] {
  const { properties } = inputSchema(procedure)
  return parameters.map((parameter) => {
    const description = properties[String(parameter['name'])]?.['description']
    return description === undefined ? parameter : { ...parameter, description }
  })
}

/** A body that is the whole input has the input's name. */
function nameBody(document: Document, operation: Operation, procedure: ProcedureFacts): void {
  const { id } = inputSchema(procedure)
  const media = operation.requestBody?.content['application/json']
  if (id === undefined || media === undefined || procedure.rest?.path.includes('{')) return
  const schema = media['schema'] as Json
  document.components.schemas[id] = schema
  media['schema'] = { $ref: `#/components/schemas/${id}` }
  if (procedure.takesUploads && operation.requestBody !== undefined) {
    operation.requestBody.content['multipart/form-data'] = formContent(schema)
  }
}

/** A schema with an id stands under `$defs`. */
function inputSchema({ input }: ProcedureFacts): { id?: string; properties: Record<string, Json> } {
  const schema = input.toJSONSchema({ io: 'input', unrepresentable: 'any' }) as Json
  const { $ref, $defs } = schema as { $ref?: string; $defs?: Record<string, Json> }
  const id = $ref?.replace('#/$defs/', '')
  const root = id === undefined ? schema : $defs?.[id]
  return { id, properties: (root?.['properties'] ?? {}) as Record<string, Json> }
}

const STATUS_TEXT = { 200: 'Success.', 201: 'Created.', 204: 'Done; no content.' }
const REQUEST_ID_HEADER = { 'X-Request-Id': header('RequestId') }
const KNOWN_HEADERS = { ...REQUEST_ID_HEADER, ...LIMIT_HEADERS }

const SECURITY = {
  public: [],
  session: [{ accessToken: [] }],
  scope: [{ apiKey: [] }, { accessToken: [] }],
}

const CONFLICTING = new Set([
  'auth.register',
  'keys.create',
  'generate',
  'generations.cancel',
  'generations.delete',
  'webhooks.create',
])

/** Which statuses of the table a procedure can answer, from what it is. */
function errorStatuses({ name, policy, rest }: ProcedureFacts): number[] {
  const hasBody = rest?.method === 'POST' || rest?.method === 'PATCH'
  return [
    400,
    ...(policy.kind === 'public' && name !== 'auth.login' ? [] : [401]),
    ...(policy.kind === 'public' && name !== 'auth.register' ? [] : [403]),
    ...(name === 'generate' ? [402] : []),
    ...(rest?.path.includes('{') || name === 'generate' ? [404] : []),
    ...(CONFLICTING.has(name) ? [409] : []),
    ...(hasBody ? [408, 413, 415] : []),
    ...(name === 'generate' ? [422, 424] : []),
    429,
    500,
    503,
  ]
}

const IMAGE_TYPES = ['image/png', 'image/jpeg', 'image/webp']

/** The byte route is no procedure, so it is described by hand. */
const imageContent = (): Operation => ({
  operationId: 'images_content',
  summary: 'Reads the bytes of an image, or a thumbnail',
  description:
    'A lasting address. Answers `ETag`, takes `Range` and `If-None-Match`; with `width` the answer is a WebP of at most that width.',
  tags: ['images'],
  security: SECURITY.scope,
  parameters: [
    {
      in: 'path',
      name: 'id',
      required: true,
      schema: { type: 'string', examples: ['img_01jd5xk3f8e2r9v7m6q4t0w1yz'] },
    },
    {
      in: 'query',
      name: 'width',
      description: 'Pixels, 64 to 1024.',
      schema: { type: 'integer', minimum: 64, maximum: 1024 },
    },
  ],
  responses: {
    '200': {
      description: 'The bytes.',
      headers: KNOWN_HEADERS,
      content: Object.fromEntries(
        IMAGE_TYPES.map((type) => [type, { schema: { type: 'string', format: 'binary' } }]),
      ),
    },
    '206': { description: 'The part asked for.', headers: KNOWN_HEADERS },
    '304': { description: 'Not modified.', headers: KNOWN_HEADERS },
    '416': { description: 'The range lies outside the image.', headers: KNOWN_HEADERS },
    ...errorResponses([400, 401, 403, 404, 429, 500, 503]),
  },
})
