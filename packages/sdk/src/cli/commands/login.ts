import type { Command } from 'commander'
import { ask, readInput } from '../ask.ts'
import { type Cli, openCli } from '../cli.ts'
import { EXIT } from '../exit-codes.ts'
import { CliError } from '../failure.ts'
import { removeLogin, writeLogin } from '../login-file.ts'
import { dollars, printable } from '../text.ts'

export function addLogin(program: Command): void {
  program
    .command('login')
    .summary('Logs in, for a week.')
    .description('Logs in, for a week. The password is asked for, or read from standard input.')
    .argument('[email]', 'asked for where it is missing')
    .action(async (email: string | undefined, _flags: unknown, command: Command) =>
      logIn(await openCli(command), email),
    )
  program
    .command('logout')
    .description('Logs out: ends the access token and forgets it.')
    .action(async (_flags: unknown, command: Command) => logOut(await openCli(command)))
  program
    .command('whoami')
    .description('Shows the account that is logged in.')
    .action(async (_flags: unknown, command: Command) => showAccount(await openCli(command)))
}

async function logIn(cli: Cli, told: string | undefined): Promise<void> {
  const { baseUrl } = cli
  const isAsked = process.stdin.isTTY
  if (told === undefined && !isAsked) {
    throw new CliError(EXIT.usage, 'Name the email address: nanobanana login <email>')
  }
  if (isAsked) process.stderr.write(`Logging in at ${baseUrl}\n`)
  const email = told ?? (await ask('Email: '))
  const password = isAsked ? await ask('Password: ', { secret: true }) : await readInput()
  const { access_token, expires_in } = await cli.stranger().auth.login({ email, password })
  await writeLogin(cli.environment.loginFile, { base_url: baseUrl, email, access_token })
  const lines = `Logged in at ${baseUrl} as ${printable(email)}, for ${expires_in / 86_400} days.`
  cli.print({ base_url: baseUrl, email, expires_in }, lines)
}

/** Here it is forgotten even where the service cannot be told. */
async function logOut(cli: Cli): Promise<void> {
  const account = cli.account()
  await removeLogin(cli.environment.loginFile)
  await account.auth.logout().catch((error: { code?: unknown }) => {
    if (error.code !== 'invalid_token') throw error
  })
  cli.print({ base_url: cli.baseUrl, logged_out: true }, `Logged out at ${cli.baseUrl}.`)
}

async function showAccount(cli: Cli): Promise<void> {
  const me = await cli.account().auth.me()
  const { email, monthly_limit_usd: limit, spent_this_month_usd: spent } = me
  const of = limit === null ? '' : ` of ${dollars(limit)}`
  const lines = `${printable(email)} at ${cli.baseUrl}, ${dollars(spent)}${of} spent this month`
  cli.print({ ...me, base_url: cli.baseUrl }, lines)
}
