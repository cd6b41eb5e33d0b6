import { NanoBanana } from '@nanobanana/sdk'
import type { Command } from 'commander'
import { readConfig } from '../config.ts'
import { type Environment, readEnvironment } from './config.ts'
import { EXIT } from './exit-codes.ts'
import { CliError } from './failure.ts'
import { type Login, readLogin } from './login-file.ts'

/** What a command works with. */
export interface Cli {
  readonly environment: Environment
  readonly baseUrl: string
  /** The login at `baseUrl`. */
  readonly login: Login | undefined
  /** Prints the result: as JSON with --json, else the lines for people. */
  print(result: unknown, lines: string): void
  /** Tells people something beside the result. */
  note(line: string): void
  readonly isJson: boolean
  /** By the environment's key, else by the login. */
  client(): NanoBanana
  /** By the login, which accounts and keys are managed with. */
  account(): NanoBanana
  /** Without a credential. */
  stranger(): NanoBanana
}

interface GlobalFlags {
  readonly json?: true
  readonly baseUrl?: string
}

export async function openCli(command: Command): Promise<Cli> {
  const { json, baseUrl: told } = command.optsWithGlobals<GlobalFlags>()
  const environment = readEnvironment()
  const kept = await readLogin(environment.loginFile)
  const baseUrl = checkBaseUrl(told ?? environment.baseUrl ?? kept?.base_url)
  const login = kept?.base_url === baseUrl ? kept : undefined
  const isJson = json === true
  return {
    environment,
    baseUrl,
    login,
    isJson,
    print: (result, lines) => {
      const text = isJson ? JSON.stringify(result, null, 2) : lines
      if (text !== '') process.stdout.write(`${text}\n`)
    },
    note: (line) => void (isJson || process.stderr.write(`${line}\n`)),
    client: () => connect(baseUrl, environment.apiKey ?? tokenOf(login, baseUrl)),
    account: () => connect(baseUrl, tokenOf(login, baseUrl)),
    stranger: () => connect(baseUrl, undefined),
  }
}

function checkBaseUrl(baseUrl: string | undefined): string {
  try {
    return readConfig({ baseUrl }).baseUrl
  } catch (error) {
    throw new CliError(EXIT.usage, (error as Error).message)
  }
}

function tokenOf(login: Login | undefined, baseUrl: string): string {
  if (login !== undefined) return login.access_token
  throw new CliError(EXIT.denied, `Not logged in at ${baseUrl}. Log in with: nanobanana login`)
}

function connect(baseUrl: string, apiKey: string | undefined): NanoBanana {
  try {
    return new NanoBanana({ baseUrl, apiKey })
  } catch (error) {
    throw new CliError(EXIT.denied, (error as Error).message)
  }
}
