import { NanoBananaError } from '@nanobanana/sdk'
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { printable } from './text.ts'

/** Why a command failed; with --json it is what stands under `error`. */
export interface Failure {
  readonly type: string
  readonly code: string
  readonly message: string
  readonly param: string | null
  readonly request_id: string | null
  readonly generation_id: string | null
}

/** What the command line itself objects to, and generations that failed. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: number
  readonly failure: Failure

  constructor(exitCode: number, message: string, failure: Partial<Failure> = {}) {
    super(message)
    this.exitCode = exitCode
    this.failure = { ...NOTHING, type: 'cli_error', code: codeOf(exitCode), message, ...failure }
  }
}

const NOTHING = { param: null, request_id: null, generation_id: null }

const CODES: Record<number, string> = {
  [EXIT.usage]: 'usage',
  [EXIT.notFound]: 'no_input',
  [EXIT.output]: 'no_output',
  [EXIT.denied]: 'not_logged_in',
  [EXIT.config]: 'unreadable_login',
  [EXIT.interrupted]: 'interrupted',
}
const codeOf = (exitCode: number): string => CODES[exitCode] ?? 'failed'

/** Whatever was thrown, as what a caller is told. */
export function toCliError(thrown: unknown): CliError {
  if (thrown instanceof CliError) return thrown
  if (thrown instanceof NanoBananaError) {
    const { type, code, message, param } = thrown
    const [request_id, generation_id] = [thrown.requestId ?? null, thrown.generationId ?? null]
    return new CliError(exitCodeOf(type), message, { type, code, param, request_id, generation_id })
  }
  if (thrown instanceof CommanderError) return new CliError(EXIT.usage, withoutValues(thrown))
  return new CliError(EXIT.failed, thrown instanceof Error ? thrown.message : String(thrown))
}

/** An option that does not exist may have been given a secret, as in --password=… */
const withoutValues = ({ message }: CommanderError): string =>
  message.replace(/^error: /, '').replace(/(unknown option '[^=']*)=[^]*'/, "$1'")

/** The lines for people. */
export function explain({ failure, exitCode }: CliError): string {
  const { code, message, request_id: request, generation_id: generation } = failure
  const facts = [failure.type === 'cli_error' ? undefined : code, generation, request]
  const known = facts.filter((fact) => typeof fact === 'string').join(', ')
  const hint = code === 'invalid_token' || code === 'session_required' ? LOG_IN : ''
  const help = exitCode === EXIT.usage && code === 'usage' ? '\nSee nanobanana --help.' : ''
  return `nanobanana: ${printable(message)}${known === '' ? '' : ` (${printable(known)})`}${hint}${help}`
}

const LOG_IN = '\nLog in with: nanobanana login'
