import { z } from 'zod'
import { ImageInputs } from './image-input.ts'
import { KeyId, Mode } from './keys.ts'
import { AspectRatio, Size, ThinkingLevel } from './model-options.ts'
import { ModelName } from './model-name.ts'
import { createdAfter, createdBefore, cursor, limit, page } from './pagination.ts'
import { codePoints, text, timestamp, typeId } from './text.ts'

export const GenerationId = typeId('gen', 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz')
export const ImageId = typeId('img', 'img_01jd5xk3f8e2r9v7m6q4t0w1yz')

export const PROMPT_MAX_CODE_POINTS = 8192
const PROMPT_MAX_BYTES = 32 * 1024

// C0 controls but tab and line feed, DEL, C1 controls.
const hasControlCharacter = (value: string): boolean => {
  for (const char of value) {
    const code = char.codePointAt(0) ?? 0
    if ((code < 32 && code !== 9 && code !== 10) || (code >= 127 && code < 160)) return true
  }
  return false
}
const utf8Bytes = (value: string): number => new TextEncoder().encode(value).length

const prompt = text()
  // A cheap bound first: no more than two UTF-16 units to a code point, some slack for NFC.
  .max(PROMPT_MAX_BYTES, `must be at most ${PROMPT_MAX_BYTES} bytes`)
  .transform((value) => value.normalize('NFC'))
  .refine((value) => value.trim() !== '', { error: 'must not be empty' })
  .refine((value) => codePoints(value) <= PROMPT_MAX_CODE_POINTS, {
    error: `must have at most ${PROMPT_MAX_CODE_POINTS} characters`,
  })
  .refine((value) => utf8Bytes(value) <= PROMPT_MAX_BYTES, {
    error: `must be at most ${PROMPT_MAX_BYTES} bytes of UTF-8`,
  })
  .refine((value) => !hasControlCharacter(value), {
    error: 'must not contain control characters other than line feed and tab',
  })
  .describe('What to draw, 1 to 8192 characters.')

const bounded = (max: number) =>
  text().refine((value) => codePoints(value) <= max, {
    error: `must have at most ${max} characters`,
  })

const metadata = z
  .record(
    bounded(64).refine((name) => name !== '', { error: 'must not have an empty name' }),
    bounded(512),
  )
  .refine((pairs) => Object.keys(pairs).length <= 16, { error: 'must have at most 16 pairs' })
  .describe('Up to 16 pairs of text to find the generation by; names up to 64, values up to 512.')

export const OUTPUT_FORMATS = ['png', 'jpeg', 'webp'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

const MAX_SEED = 2 ** 31 - 1

export const GenerateInput = z
  .strictObject({
    prompt,
    model: ModelName.optional().describe("Model id or alias. Default: the server's default model."),
    aspect_ratio: AspectRatio.optional().describe(
      'Width to height; must be one the model has. Default: the model chooses.',
    ),
    size: Size.optional().describe(
      'Pixels of the longer side, roughly; must be one the model has. Default `1K`.',
    ),
    n: z
      .int()
      .min(1)
      .max(4)
      .optional()
      .describe(
        'How many images, each a call to the model. Default 1. Some may fail: what came is returned and charged, with a warning.',
      ),
    images: ImageInputs.optional().describe(
      'Images to edit or to refer to, in order, as many as the model takes. The first `generation_id` becomes `parent_id`.',
    ),
    output_format: z
      .enum(OUTPUT_FORMATS)
      .meta({ id: 'OutputFormat' })
      .optional()
      .describe('File format of the result. Default: as the model made it.'),
    output_quality: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe('Quality of a `jpeg` or `webp`, which must be named. Default 90.'),
    seed: z
      .int()
      .min(0)
      .max(MAX_SEED)
      .optional()
      .describe('Start of the randomness, 0 to 2147483647; image i of `n` uses `seed` + i.'),
    thinking_level: ThinkingLevel.optional().describe(
      "How long the model may think; must be one the model has. Default: the model's.",
    ),
    metadata: metadata.optional(),
    user: bounded(64).optional().describe('Your own id of the end user, up to 64 characters.'),
    mode: Mode.optional().describe('With an access token only; a key has its own mode.'),
  })
  .meta({ id: 'GenerateInput', examples: [{ prompt: 'a banana astronaut' }] })
export type GenerateInput = z.infer<typeof GenerateInput>

export const GenerationStatus = z
  .enum(['queued', 'running', 'succeeded', 'failed', 'canceled'])
  .meta({ id: 'GenerationStatus' })
export type GenerationStatus = z.infer<typeof GenerationStatus>

export const Image = z
  .object({
    id: ImageId,
    url: z
      .string()
      .nullable()
      .describe('Address of the bytes, or a `data:` URL; null once inline bytes have expired.'),
    url_expires_at: timestamp().nullable().describe('When `url` stops working; null: it does not.'),
    thumbnail_url: z
      .string()
      .nullable()
      .describe('Address of a small version (width 256); takes the same credential.'),
    mime_type: z.string().describe('Measured from the bytes: image/png, image/jpeg or image/webp.'),
    width: z.int().describe('Pixels, measured.'),
    height: z.int().describe('Pixels, measured.'),
    bytes: z.int().describe('Size of the file in bytes.'),
    sha256: z.string().describe('SHA-256 of the file, in hex.'),
    storage: z.enum(['s3', 'disk', 'inline']),
    expired: z.boolean().describe('True when inline bytes are past their retention.'),
  })
  .meta({ id: 'Image' })
export type Image = z.infer<typeof Image>

export const GenerationError = z
  .object({ type: z.string(), code: z.string(), message: z.string() })
  .meta({ id: 'GenerationError' })

export const Warning = z
  .object({ code: z.string(), message: z.string() })
  .meta({ id: 'Warning', description: 'Where the result differs from the request.' })
export type Warning = z.infer<typeof Warning>

export const Generation = z
  .object({
    id: GenerationId,
    object: z.literal('generation'),
    status: GenerationStatus,
    url: z.string().nullable().describe("The first image's `url`."),
    prompt: z.string(),
    created_at: timestamp(),
    completed_at: timestamp().nullable(),
    model: z.string(),
    mode: Mode,
    parent_id: GenerationId.nullable(),
    images: z.array(Image),
    text: z.string().nullable().describe("The model's own words beside the image."),
    requested: z.object({
      aspect_ratio: z.string().nullable(),
      size: z.string(),
      n: z.int(),
      input_images: z.int().describe('How many images came with the request.'),
      output_format: z.string().nullable(),
      output_quality: z.int().nullable(),
      seed: z.int().nullable(),
      thinking_level: z.string().nullable(),
    }),
    warnings: z.array(Warning),
    usage: z.object({
      input_tokens: z.int(),
      output_tokens: z.int(),
      images: z.int(),
      cost_usd: z.number().describe('US dollars; 0 unless the generation succeeded in live mode.'),
    }),
    error: GenerationError.nullable(),
    metadata: z.record(z.string(), z.string()),
    user: z.string().nullable(),
  })
  .meta({ id: 'Generation', description: 'A request and the images that came of it.' })
export type Generation = z.infer<typeof Generation>

const event = <T extends string, D extends z.ZodType>(type: T, data: D) =>
  z.object({
    type: z.literal(type),
    timestamp: timestamp().describe('When it happened.'),
    data,
  })

/** What a stream of events tells of a generation. */
export const GenerationEvent = z
  .discriminatedUnion('type', [
    event('generation.queued', Generation),
    event('generation.running', Generation),
    event('generation.text', z.object({ id: GenerationId, text: z.string() })),
    event(
      'generation.image',
      z.object({
        id: GenerationId,
        index: z.int().describe('Place among the images, from 0.'),
        image: Image.nullable().describe('Null once it was deleted.'),
      }),
    ),
    event('generation.succeeded', Generation),
    event('generation.failed', Generation),
    event('generation.canceled', Generation),
  ])
  .meta({
    id: 'GenerationEvent',
    description: 'The `data` of a server-sent event; `event` is its `type`.',
  })
export type GenerationEvent = z.infer<typeof GenerationEvent>

export const GenerationPage = page(Generation).meta({ id: 'GenerationPage' })

export const GenerationIdInput = z
  .strictObject({ id: GenerationId })
  .meta({ id: 'GenerationIdInput' })

const SEARCH_MAX_CODE_POINTS = 200
const SEARCH_MAX_WORDS = 10

/** Words of a search, which white space parts. */
export const wordsOf = (search: string): string[] => search.split(/\s+/).filter(Boolean)

const search = text()
  .max(2 * SEARCH_MAX_CODE_POINTS, `must have at most ${SEARCH_MAX_CODE_POINTS} characters`)
  // As prompts are stored.
  .transform((value) => value.normalize('NFC'))
  .refine((value) => codePoints(value) <= SEARCH_MAX_CODE_POINTS, {
    error: `must have at most ${SEARCH_MAX_CODE_POINTS} characters`,
  })
  .refine((value) => wordsOf(value).length <= SEARCH_MAX_WORDS, {
    error: `must have at most ${SEARCH_MAX_WORDS} words`,
  })
  .describe(
    'Words that must all occur in the prompt, in upper or lower case, also inside other words. Up to 10 words, 200 characters.',
  )

export const ListGenerationsInput = z
  .strictObject({
    limit: limit(),
    cursor: cursor(),
    mode: Mode.optional().describe(
      'With an access token: default `live`. A key sees its own mode.',
    ),
    status: GenerationStatus.optional(),
    model: ModelName.optional(),
    key_id: KeyId.optional(),
    q: search.optional(),
    created_after: createdAfter(),
    created_before: createdBefore(),
  })
  .meta({ id: 'ListGenerationsInput' })
export type ListGenerationsInput = z.infer<typeof ListGenerationsInput>
