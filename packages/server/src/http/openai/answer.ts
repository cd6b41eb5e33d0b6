import { buffer } from 'node:stream/consumers'
import type { Generation, Image, OutputFormat } from '@nanobanana/shared'
import { estimateTextTokens } from '../../features/generations/estimate.ts'
import { unrepeatable } from '../../features/generations/making.ts'
import * as images from '../../features/images/images.service.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { ImageEvent, ImagesAnswer } from './answer-schema.ts'
import type { ImagesInput } from './fields.ts'

type ReadDeps = Pick<Deps, 'db' | 'objectStore'>

/** An image whose bytes are there. */
type Kept = Image & { readonly url: string }

/** The images of a generation; throws where it has none to answer with. */
function imagesOf({ status, images: made }: Generation): readonly [Kept, ...Kept[]] {
  if (status === 'queued' || status === 'running') throw stillRunning()
  if (status === 'canceled') throw new AppError('no_image', 'The generation was canceled.')
  const [first, ...others] = made.filter((image): image is Kept => image.url !== null)
  if (first !== undefined) return [first, ...others]
  throw new AppError('not_found', 'The images of this generation are no longer kept.')
}

/** It may still be charged, so a repeat would buy it twice. */
const stillRunning = (): AppError =>
  new AppError(
    'upstream_timeout',
    'It takes longer than this route waits, and goes on: read it at the address in Location.',
    { headers: { 'x-should-retry': 'false' } },
  )

/** The answer in the shape of OpenAI's `ImagesResponse`. */
export async function answerOf(
  deps: ReadDeps,
  principal: Principal,
  generation: Generation,
  { response_format: format }: Pick<ImagesInput, 'response_format'>,
): Promise<ImagesAnswer> {
  const kept = imagesOf(generation)
  const data: ImagesAnswer['data'] = []
  // One after the other: of no more than one are the bytes held beside their text.
  for (const image of kept) {
    const bytes =
      format === 'url' ? { url: image.url } : { b64_json: await base64Of(deps, principal, image) }
    data.push({ ...bytes, revised_prompt: generation.prompt })
  }
  return {
    created: secondsOf(generation),
    data,
    ...factsOf(kept[0]),
    usage: usageOf(generation),
  }
}

/** One event for each image; the tokens of all stand in the last, so that their sum is right. */
export async function* completedEvents(
  deps: ReadDeps,
  principal: Principal,
  generation: Generation,
  type: ImageEvent['type'],
): AsyncGenerator<ImageEvent> {
  const kept = imagesOf(generation)
  for (const [index, image] of kept.entries()) {
    yield {
      type,
      b64_json: await base64Of(deps, principal, image),
      created_at: secondsOf(generation),
      ...factsOf(image),
      usage: index === kept.length - 1 ? usageOf(generation) : tokens(0, 0, 0),
    }
  }
}

const secondsOf = ({ completed_at, created_at }: Generation): number =>
  Math.floor(Date.parse(completed_at ?? created_at) / 1000)

/** Of what was made, not of what was asked for: there is one quality, and no transparency. */
const factsOf = ({ mime_type, width, height }: Image) => ({
  background: 'opaque' as const,
  output_format: mime_type.replace('image/', '') as OutputFormat,
  quality: 'high' as const,
  size: `${width}x${height}`,
})

/** Which part of the input was text is not on record: where images came with it, it is estimated. */
function usageOf({ prompt, usage, requested }: Generation): ImagesAnswer['usage'] {
  const { input_tokens: input, output_tokens: output, images: calls } = usage
  const text = requested.input_images === 0 ? input : calls * estimateTextTokens(prompt)
  return tokens(input, Math.min(input, text), output)
}

const tokens = (input: number, text: number, output: number): ImagesAnswer['usage'] => ({
  input_tokens: input,
  output_tokens: output,
  total_tokens: input + output,
  input_tokens_details: { image_tokens: input - text, text_tokens: text },
})

async function base64Of(deps: ReadDeps, principal: Principal, image: Kept): Promise<string> {
  const { url } = image
  if (url.startsWith('data:')) return url.slice(url.indexOf(',') + 1)
  try {
    const row = await images.getReadable(deps, principal, image.id)
    return (await buffer(await images.readBytes(deps, row))).toString('base64')
  } catch (error) {
    // They are paid for, and there to be read by their ids.
    throw unrepeatable(error)
  }
}
