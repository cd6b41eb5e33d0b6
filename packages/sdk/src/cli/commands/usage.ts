import type { Mode, Usage, UsageInput } from '@nanobanana/sdk'
import { type Command, Option } from 'commander'
import { type Cli, openCli } from '../cli.ts'
import { dollars, toColumns } from '../text.ts'
import { modeOption } from './options.ts'

interface UsageFlags {
  readonly by: NonNullable<UsageInput['group_by']>
  readonly from?: string
  readonly to?: string
  readonly mode?: Mode
}

export function addUsage(program: Command): void {
  program
    .command('usage')
    .summary('Sums what was made, and its cost.')
    .description('Sums what was made, and its cost. A key needs the scope usage.')
    .addOption(
      new Option('--by <what>', 'what one row stands for')
        .choices(['day', 'key', 'model'])
        .default('day'),
    )
    .option('--from <day>', 'first UTC day, YYYY-MM-DD (default: the first of the month)')
    .option('--to <day>', 'last UTC day (default: today)')
    .addOption(modeOption())
    .action(async (flags: UsageFlags, command: Command) => show(await openCli(command), flags))
}

async function show(cli: Cli, { by, ...range }: UsageFlags): Promise<void> {
  const usage = await cli.client().usage.get({ ...range, group_by: by })
  const head = [by.toUpperCase(), 'GENERATIONS', 'IMAGES', 'TOKENS IN', 'TOKENS OUT', 'COST']
  const rows = usage.data.map((row) => [nameOf(row), ...toCells(row)])
  cli.print(usage, toColumns([head, ...rows, ['total', ...toCells(usage.total)]]))
}

const nameOf = ({ day, model, key_id }: Usage['data'][number]): string =>
  day ?? model ?? key_id ?? 'by login'

const toCells = (sums: Usage['total']): string[] => [
  String(sums.requests),
  String(sums.images),
  String(sums.input_tokens),
  String(sums.output_tokens),
  dollars(sums.cost_usd),
]
