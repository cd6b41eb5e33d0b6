import type { ApiKey, ApiKeyWithSecret, Mode, Scope } from '@nanobanana/sdk'
import { type Command, Option } from 'commander'
import { type Cli, openCli } from '../cli.ts'
import { dollars, minute, toColumns } from '../text.ts'
import { amount, wholeNumber } from './options.ts'

interface CreateFlags {
  readonly mode?: Mode
  readonly scopes?: Scope[]
  readonly expires?: string
  readonly limitUsd?: number
  readonly rpm?: number
  readonly concurrency?: number
}

export function addKeys(program: Command): void {
  const keys = program.command('keys').description('Manages API keys, with a login.')
  keys
    .command('list')
    .description('Lists API keys, newest first.')
    .action(async (_flags: unknown, command: Command) => list(await openCli(command)))
  addCreate(keys)
  keys
    .command('rotate')
    .description('Gives a key a new secret, which is printed this once.')
    .argument('<id>', 'key_…')
    .option('--grace <seconds>', 'how long the old secret still works (default 0)', wholeNumber)
    .action(async (id: string, flags: { grace?: number }, command: Command) => {
      const cli = await openCli(command)
      showSecret(cli, await cli.account().keys.rotate({ id, grace_seconds: flags.grace }))
    })
  keys
    .command('revoke')
    .description('Revokes a key for good, at once.')
    .argument('<id>', 'key_…')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const cli = await openCli(command)
      await cli.account().keys.revoke({ id })
      cli.print({ id, status: 'revoked' }, `Revoked ${id}.`)
    })
}

function addCreate(keys: Command): void {
  keys
    .command('create')
    .description('Creates a key; its secret is printed this once.')
    .argument('<name>', 'your own name for it')
    .addOption(
      new Option('--mode <mode>', 'test makes free pictures (default live)').choices([
        'live',
        'test',
      ]),
    )
    .option('--scopes <list>', 'of generate,read,usage (default generate,read)', (text) =>
      text.split(','),
    )
    .option('--expires <time>', 'when it ends, such as 2030-01-31T00:00:00Z')
    .option('--limit-usd <amount>', 'what it may spend in a month', amount)
    .option('--rpm <n>', 'requests per minute', wholeNumber)
    .option('--concurrency <n>', 'generations at the same time', wholeNumber)
    .action(async (name: string, flags: CreateFlags, command: Command) =>
      create(await openCli(command), name, flags),
    )
}

async function create(cli: Cli, name: string, flags: CreateFlags): Promise<void> {
  const created = await cli.account().keys.create({
    name,
    mode: flags.mode,
    scopes: flags.scopes,
    expires_at: flags.expires,
    monthly_limit_usd: flags.limitUsd,
    requests_per_minute: flags.rpm,
    max_concurrency: flags.concurrency,
  })
  showSecret(cli, created)
}

/** The secret stands alone, so that a script can take it as it is. */
function showSecret(cli: Cli, { key, ...facts }: ApiKeyWithSecret): void {
  cli.note(`${facts.id} (${facts.mode}). This is the only time its secret is shown:`)
  cli.print({ ...facts, key }, key)
}

async function list(cli: Cli): Promise<void> {
  const data: ApiKey[] = []
  for await (const key of cli.account().keys.list({ limit: 100 })) data.push(key)
  const head = ['ID', 'NAME', 'SECRET', 'MODE', 'STATUS', 'LAST USED', 'THIS MONTH', 'SCOPES']
  const lines = data.length === 0 ? '' : toColumns([head, ...data.map(toRow)])
  if (data.length === 0) cli.note('There are no keys yet: nanobanana keys create <name>')
  cli.print({ data, next_cursor: null }, lines)
}

const toRow = (key: ApiKey): string[] => [
  key.id,
  key.name,
  key.prefix,
  key.mode,
  key.status,
  minute(key.last_used_at),
  dollars(key.spent_this_month_usd),
  key.scopes.join(','),
]
