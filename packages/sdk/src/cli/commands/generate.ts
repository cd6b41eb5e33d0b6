import type { AspectRatio, GenerateParams, Mode, OutputFormat, Size } from '@nanobanana/sdk'
import { type Command, Option } from 'commander'
import { readInput } from '../ask.ts'
import { type Cli, openCli } from '../cli.ts'
import { deliver } from '../deliver.ts'
import { EXIT } from '../exit-codes.ts'
import { CliError } from '../failure.ts'
import { checkWritable, nameFiles, readImage } from '../files.ts'
import { make } from '../make.ts'
import { modeOption, wholeNumber } from './options.ts'

interface GenerateFlags {
  readonly image?: string[]
  readonly output?: string
  readonly force?: true
  readonly preview: boolean
  readonly count: number
  readonly ratio?: AspectRatio
  readonly size?: Size
  readonly model?: string
  readonly format?: OutputFormat
  readonly quality?: number
  readonly seed?: number
  readonly mode?: Mode
}

const FORMATS: readonly OutputFormat[] = ['png', 'jpeg', 'webp']

export function addGenerate(program: Command): void {
  program
    .command('generate')
    .summary('Makes images from a prompt, or edits some.')
    .description('Makes images from a prompt, or edits some. Interrupting it cancels it.')
    .argument('<prompt>', 'what to draw; - reads it from standard input')
    .option(
      '-i, --image <file>',
      'image to edit or to refer to: a file or gen_…; may be repeated',
      collect,
      undefined,
    )
    .option('-o, --output <file>', 'where to save it; several are numbered: out-1.png, out-2.png')
    .option('-f, --force', 'overwrite files')
    .option('-n, --count <n>', 'how many images, 1 to 4', wholeNumber, 1)
    .option('--ratio <ratio>', 'width to height, such as 16:9')
    .option('--size <size>', '512, 1K, 2K or 4K')
    .option('--model <model>', 'id or alias of a model')
    .addOption(
      new Option('--format <format>', 'file format (default: by the name of --output)').choices(
        FORMATS,
      ),
    )
    .option('--quality <n>', '1 to 100, of a jpeg or webp', wholeNumber)
    .option('--seed <n>', 'start of the randomness', wholeNumber)
    .addOption(modeOption())
    .option('--no-preview', 'do not show it in the terminal')
    .action(async (prompt: string, flags: GenerateFlags, command: Command) =>
      generate(await openCli(command), prompt, flags),
    )
}

const collect = (value: string, all: string[] = []): string[] => [...all, value]

async function generate(cli: Cli, prompt: string, flags: GenerateFlags): Promise<void> {
  const client = cli.client()
  const force = flags.force === true
  const format = formatOf(flags)
  const paths = flags.output === undefined ? [] : nameFiles(flags.output, flags.count)
  await checkWritable(paths, force)
  const params = await toParams(prompt, { ...flags, format })
  const generation = await make(client, params)
  await deliver(cli, generation, { paths, force, preview: flags.preview })
}

async function toParams(prompt: string, flags: GenerateFlags): Promise<GenerateParams> {
  const images = flags.image && (await Promise.all(flags.image.map(toSource)))
  return {
    prompt: prompt === '-' ? await readInput() : prompt,
    model: flags.model,
    aspect_ratio: flags.ratio,
    size: flags.size,
    n: flags.count,
    images,
    output_format: flags.format,
    output_quality: flags.quality,
    seed: flags.seed,
    mode: flags.mode,
  }
}

const toSource = (image: string) =>
  /^gen_[0-9a-z]{26}$/.test(image) ? { generation_id: image } : readImage(image)

/** A file is what its name says. */
function formatOf({ output = '', format }: GenerateFlags): OutputFormat | undefined {
  const extension = /\.(png|jpe?g|webp)$/i.exec(output)?.[1]?.toLowerCase().replace('jpg', 'jpeg')
  const named = FORMATS.find((one) => one === extension)
  if (format === undefined || named === undefined || format === named) return format ?? named
  throw new CliError(EXIT.usage, `${output} is not the name of a ${format}.`)
}
