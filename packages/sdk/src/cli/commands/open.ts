import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GenerationResult } from '@nanobanana/sdk'
import type { Command } from 'commander'
import { openInBrowser } from '../browser.ts'
import { type Cli, openCli } from '../cli.ts'
import { EXIT } from '../exit-codes.ts'
import { CliError } from '../failure.ts'
import { writeImage } from '../files.ts'

export function addOpen(program: Command): void {
  program
    .command('open')
    .description('Opens an image in the browser; prints its address.')
    .argument('<id>', 'gen_…')
    .action(async (id: string, _flags: unknown, command: Command) =>
      open(await openCli(command), id),
    )
}

async function open(cli: Cli, id: string): Promise<void> {
  const generation = await cli.client().generations.get({ id })
  const target = await targetOf(generation)
  const opened = cli.environment.hasScreen && (await openInBrowser(target))
  if (!opened) cli.note('There is no browser here; this is the address:')
  cli.print({ id: generation.id, target, opened }, target)
}

/** Only what a browser is for: the address comes from elsewhere, and openers take programs as well. */
async function targetOf(generation: GenerationResult): Promise<string> {
  const { id, status, url } = generation
  if (url === null) {
    throw new CliError(EXIT.notFound, `${id} has no image to open: ${status}.`, {
      generation_id: id,
    })
  }
  if (/^https?:\/\//i.test(url)) return new URL(url).href
  if (url.startsWith('data:')) return writeTemporary(generation)
  throw new CliError(EXIT.failed, 'The address of the image is none of the web.')
}

/** A picture that the service keeps inline has no address that a browser may read. */
async function writeTemporary({ images: [image] }: GenerationResult): Promise<string> {
  if (image === undefined) throw new CliError(EXIT.notFound, 'There is no image to open.')
  const extension = /^image\/(png|jpeg|webp)$/.exec(image.mime_type)?.[1] ?? 'bin'
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-'))
  const path = join(folder, `image.${extension}`)
  await writeImage(path, await image.bytes(), false)
  return path
}
