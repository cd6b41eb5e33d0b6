import { OUTPUT_FORMATS } from '@nanobanana/shared'
import { z } from 'zod'

const Usage = z
  .object({
    input_tokens: z.int(),
    output_tokens: z.int(),
    total_tokens: z.int(),
    input_tokens_details: z
      .object({ image_tokens: z.int(), text_tokens: z.int() })
      .describe('An estimate where images came with the request.'),
  })
  .describe('Tokens of all images of the request together.')

const facts = {
  background: z.literal('opaque'),
  output_format: z.enum(OUTPUT_FORMATS).describe('Measured from the bytes.'),
  quality: z.literal('high').describe('Models have one quality.'),
  size: z
    .string()
    .describe('`WIDTHxHEIGHT`, measured.')
    .meta({ examples: ['1024x1024'] }),
}

const seconds = (what: string) => z.int().describe(`${what}, in seconds since 1970.`)

/** OpenAI's `ImagesResponse`. */
export const ImagesAnswer = z
  .object({
    created: seconds('When the images were made'),
    data: z.array(
      z.object({
        b64_json: z.string().optional().describe('The bytes in base64.'),
        url: z.string().optional().describe('Address of the bytes, or a `data:` URL.'),
        revised_prompt: z.string().describe('The prompt as it was used.'),
      }),
    ),
    ...facts,
    usage: Usage,
  })
  .meta({ id: 'OpenAiImages', description: 'Images in the shape of OpenAI.' })
export type ImagesAnswer = z.infer<typeof ImagesAnswer>

/** OpenAI's `ImageGenCompletedEvent` and `ImageEditCompletedEvent`. */
export const ImageEvent = z
  .object({
    type: z.enum(['image_generation.completed', 'image_edit.completed']),
    b64_json: z.string(),
    created_at: seconds('When the image was made'),
    ...facts,
    usage: Usage.describe('Of all images, with the last of them; zeros with the others.'),
  })
  .meta({ id: 'OpenAiImageEvent', description: 'The `data` of an event that carries an image.' })
export type ImageEvent = z.infer<typeof ImageEvent>
