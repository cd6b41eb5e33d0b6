import { GenerateInput, ModelName, OUTPUT_FORMATS, text, UploadedImage } from '@nanobanana/shared'
import { z } from 'zod'

/** Fields that clients of OpenAI send and that change nothing here; docs/openai.md lists them too. */
export const WITHOUT_EFFECT = [
  'moderation',
  'style',
  'quality',
  'input_fidelity',
  'background',
] as const

const UNSUPPORTED = { code: 'unsupported_parameter' }

/** Any value that OpenAI has or may come to have. */
const withoutEffect = () =>
  text().max(64).nullish().describe('Accepted for the sake of clients; without effect.')

const withoutEffectFields = {
  moderation: withoutEffect(),
  style: withoutEffect(),
  quality: withoutEffect(),
  input_fidelity: withoutEffect(),
  background: text()
    .refine((value) => value === 'auto' || value === 'opaque', {
      error: 'must be auto or opaque: no model draws a transparent background',
      params: UNSUPPORTED,
    })
    .nullish()
    .describe('`auto` or `opaque`, which is what every model draws.'),
} satisfies Record<(typeof WITHOUT_EFFECT)[number], z.ZodType>

const SIZE = /^(?:auto|[1-9]\d{1,4}x[1-9]\d{1,4})$/
const COUNT = 'must be 1 to 4'

const { prompt, user } = GenerateInput.shape

/** What both routes take. As in the types of OpenAI's client, null is the same as nothing. */
const shared = {
  prompt,
  model: ModelName.nullish().describe(
    "Id or alias of a model, or a name that the operator has mapped to one. Default: the server's default model.",
  ),
  n: z.int().min(1, COUNT).max(4, COUNT).nullish().describe('How many images. Default 1.'),
  size: text()
    .regex(SIZE, 'must be auto, or WIDTHxHEIGHT like 1536x1024')
    .nullish()
    .describe(
      "`WIDTHxHEIGHT`; the nearest ratio and size of the model are drawn. Default `auto`: the model's own.",
    ),
  response_format: z
    .enum(['b64_json', 'url'])
    .nullish()
    .describe('Whether images come as base64 or as addresses. Default `b64_json`.'),
  output_format: z.enum(OUTPUT_FORMATS).nullish().describe('File format. Default `png`.'),
  output_compression: z
    .int()
    .min(0)
    .max(100)
    .nullish()
    .describe('Quality of a `jpeg` or `webp`, 0 to 100. Default 90.'),
  stream: z.boolean().nullish().describe('Answers with server-sent events.'),
  partial_images: z
    .int()
    .refine((value) => value === 0, {
      error: 'must be 0: images come whole',
      params: UNSUPPORTED,
    })
    .nullish()
    .describe('0 only.'),
  user,
  ...withoutEffectFields,
}

/** A stream carries bytes, as OpenAI's does. */
const streamsBytes = (input: { stream?: boolean | null; response_format?: string | null }) =>
  input.stream !== true || input.response_format !== 'url'

const STREAMS_BYTES = {
  error: 'a stream carries b64_json only',
  path: ['response_format'],
  params: UNSUPPORTED,
}

export const GenerationsInput = z
  .strictObject(shared)
  .refine(streamsBytes, STREAMS_BYTES)
  .meta({ id: 'OpenAiGenerationsInput' })

export const EditsInput = z
  .strictObject({ ...shared, image: z.array(z.instanceof(UploadedImage)) })
  .refine(streamsBytes, STREAMS_BYTES)

/** A request of either route, as it was checked. */
export type ImagesInput = z.infer<typeof GenerationsInput> &
  Partial<Pick<z.infer<typeof EditsInput>, 'image'>>
