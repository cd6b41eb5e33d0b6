import { z } from 'zod'
import { errorResponses, header, LIMIT_HEADERS } from '../openapi-errors.ts'
import { IDEMPOTENCY_KEY, MADE_HEADERS } from '../openapi-generate.ts'
import { ImageEvent, ImagesAnswer } from './answer-schema.ts'
import { EditsInput, GenerationsInput } from './fields.ts'

type Json = Record<string, unknown>

export const OPENAI_TAG = {
  name: 'openai-compatible',
  description: 'For clients of OpenAI’s image API, which change their base URL and key.',
}

/** Schemas of the routes by name; they refer to those that the document has. */
export const openAiSchemas = (): Record<string, Json> => ({
  OpenAiGenerationsInput: jsonOf(GenerationsInput, 'input'),
  OpenAiEditsInput: withFiles(jsonOf(EditsInput, 'input')),
  OpenAiImages: openEnded(jsonOf(ImagesAnswer, 'output')),
  OpenAiImageEvent: openEnded(jsonOf(ImageEvent, 'output')),
})

function jsonOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const json = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
  const { $defs, $ref, $schema: _, ...inline } = json as Json & { $defs?: Record<string, Json> }
  const own = typeof $ref === 'string' ? $defs?.[$ref.replace('#/$defs/', '')] : inline
  const { id: __, ...rest } = own ?? {}
  return JSON.parse(JSON.stringify(rest).replaceAll('#/$defs/', '#/components/schemas/')) as Json
}

/** An answer may gain fields. */
const openEnded = (schema: Json): Json =>
  JSON.parse(JSON.stringify(schema).replaceAll(',"additionalProperties":false', '')) as Json

/** No schema of a value says what a file is. */
function withFiles(schema: Json): Json {
  const { image: _, ...properties } = schema['properties'] as Json
  const file = { type: 'string', format: 'binary' }
  const required = (schema['required'] as string[]).filter((name) => name !== 'image')
  return {
    ...schema,
    required,
    properties: {
      ...properties,
      image: { ...file, description: 'A PNG, JPEG or WebP to edit. Several: `image[]`.' },
      'image[]': { type: 'array', items: file, description: 'Files, one part each, in order.' },
    },
  }
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })

const ABOUT = `Takes API keys only. It is \`POST /v1/generate\` in other clothes: the same models, limits, ledger and history. Waits until the images are there, for as long as the provider may take; there is no 202. With \`stream: true\` the answer is server-sent events: one for each image, or \`error\`. \`moderation\`, \`style\`, \`quality\`, \`input_fidelity\` and \`background\` \`auto\` or \`opaque\` are accepted without effect; any other field that is not listed is refused.`

/** The routes as they stand under `paths`; they are no procedures, so they are described here. */
export const openAiPaths = () => ({
  '/v1/images/generations': {
    post: operation({
      operationId: 'openai_images_generations',
      summary: 'Makes images, as OpenAI’s `images.generate`',
      description: ABOUT,
      requestBody: {
        required: true,
        content: { 'application/json': { schema: ref('OpenAiGenerationsInput') } },
      },
    }),
  },
  '/v1/images/edits': {
    post: operation({
      operationId: 'openai_images_edits',
      summary: 'Edits images, as OpenAI’s `images.edit`',
      description: `${ABOUT} A \`mask\` is refused: no model takes one.`,
      requestBody: {
        required: true,
        content: { 'multipart/form-data': { schema: ref('OpenAiEditsInput') } },
      },
    }),
  },
})

const STATUSES = [400, 401, 402, 403, 404, 408, 409, 413, 415, 422, 424, 429, 500, 503]

const operation = <T extends Json>(about: T) => ({
  ...about,
  tags: [OPENAI_TAG.name],
  security: [{ apiKey: [] }],
  parameters: [IDEMPOTENCY_KEY],
  responses: {
    '200': {
      description: 'Success.',
      headers: { 'X-Request-Id': header('RequestId'), ...LIMIT_HEADERS, ...MADE_HEADERS },
      content: {
        'application/json': { schema: ref('OpenAiImages') },
        'text/event-stream': {
          schema: {
            type: 'string',
            description: 'The `data` of each event is an `OpenAiImageEvent`, or `Error`.',
            contentSchema: ref('OpenAiImageEvent'),
          },
        },
      },
    },
    ...errorResponses(STATUSES),
  },
})
