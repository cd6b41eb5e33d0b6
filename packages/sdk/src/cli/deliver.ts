import type { GenerationResult, ImageResult } from '@nanobanana/sdk'
import type { Cli } from './cli.ts'
import { CliError } from './failure.ts'
import { writeImage } from './files.ts'
import { toEscapes } from './preview.ts'
import { dollars, printable } from './text.ts'

interface Delivery {
  /** One for each image that was asked for; empty: they are not saved. */
  readonly paths: readonly string[]
  readonly force: boolean
  readonly preview: boolean
}

/** Saves, shows and prints what was made. */
export async function deliver(
  cli: Cli,
  generation: GenerationResult,
  { paths, force, preview }: Delivery,
): Promise<void> {
  const { images } = generation
  const protocol =
    preview && process.stdout.isTTY && !cli.isJson ? cli.environment.protocol : undefined
  const files: string[] = []
  for (const [i, image] of images.entries()) {
    const path = paths[i]
    if (path === undefined && protocol === undefined) continue
    const bytes = await image.bytes()
    if (path !== undefined) {
      await save(path, bytes, force, generation)
      files.push(path)
    }
    if (protocol !== undefined) {
      const escapes = toEscapes(protocol, bytes, image.mime_type)
      if (escapes === undefined) cli.note('This terminal shows PNG alone: --format png')
      else process.stdout.write(escapes)
    }
  }
  const lines = images.map((image, i) => files[i] ?? addressOf(cli, image))
  summarize(cli, generation)
  cli.print({ ...generation, files }, lines.join('\n'))
}

/** It is paid for, so whoever cannot save it must be able to find it. */
async function save(
  path: string,
  bytes: Uint8Array,
  force: boolean,
  { id }: GenerationResult,
): Promise<void> {
  try {
    await writeImage(path, bytes, force)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const message = `${error.message} The image is kept: nanobanana open ${id}`
    throw new CliError(error.exitCode, message, { generation_id: id })
  }
}

/** A picture that came inline has an address as well, and a shorter one. */
const addressOf = ({ baseUrl }: Cli, { id, url }: ImageResult): string =>
  url === null || url.startsWith('data:') ? `${baseUrl}/v1/images/${id}/content` : url

function summarize(cli: Cli, { id, images, usage, warnings, text }: GenerationResult): void {
  const [first] = images
  const what = first === undefined ? '' : `, ${first.width}x${first.height} ${first.mime_type}`
  const count = images.length === 1 ? '1 image' : `${images.length} images`
  cli.note(`${id}: ${count}${what}, ${dollars(usage.cost_usd)}`)
  for (const { message } of warnings) cli.note(`warning: ${printable(message)}`)
  if (text !== null) cli.note(printable(text))
}
