import type { GenerationResult, ListGenerationsInput, Mode } from '@nanobanana/sdk'
import { type Command, Option } from 'commander'
import { type Cli, openCli } from '../cli.ts'
import { dollars, minute, printable, shorten, toColumns } from '../text.ts'
import { modeOption, wholeNumber } from './options.ts'

interface ListFlags {
  readonly limit?: number
  readonly cursor?: string
  readonly status?: NonNullable<ListGenerationsInput['status']>
  readonly model?: string
  readonly search?: string
  readonly mode?: Mode
}

const STATUSES = ['queued', 'running', 'succeeded', 'failed', 'canceled']
const PROMPT_LENGTH = 60

export function addList(program: Command): void {
  program
    .command('list')
    .description('Lists generations, newest first.')
    .option('--limit <n>', 'how many, 1 to 100 (default 20)', wholeNumber)
    .option('--cursor <cursor>', 'next_cursor of the page before')
    .addOption(new Option('--status <status>', 'only those').choices(STATUSES))
    .option('--model <model>', 'only of this model')
    .option('-q, --search <words>', 'words that all occur in the prompt')
    .addOption(modeOption())
    .action(async (flags: ListFlags, command: Command) => list(await openCli(command), flags))
}

async function list(cli: Cli, { search, ...flags }: ListFlags): Promise<void> {
  const page = await cli.client().generations.list({ ...flags, q: search })
  const { data, next_cursor: cursor } = page
  if (data.length === 0) cli.note('There are none.')
  const head = ['ID', 'STATUS', 'CREATED', 'COST', 'PROMPT']
  cli.print(page, data.length === 0 ? '' : toColumns([head, ...data.map(toRow)]))
  if (cursor !== null) cli.note(`There are more: --cursor ${printable(cursor)}`)
}

const toRow = ({ id, status, created_at: created, usage, prompt }: GenerationResult): string[] => [
  id,
  status,
  minute(created),
  dollars(usage.cost_usd),
  shorten(prompt, PROMPT_LENGTH),
]
