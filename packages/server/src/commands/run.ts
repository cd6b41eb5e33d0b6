import { parseArgs } from 'node:util'
import { readConfig } from '../app.ts'
import { BootError, type Config } from '../config.ts'
import { checkCommand } from './check.ts'
import { consoleIo, type Io, type Print } from './io.ts'
import { keysCommand } from './keys.ts'
import { migrateCommand } from './migrate.ts'
import { serve } from './serve.ts'
import { sweepCommand } from './sweep.ts'
import { userCommand } from './user.ts'
import { work } from './worker.ts'

const USAGE = `Usage: nanobanana-server <command>

  serve                                    runs the service (the default)
  worker                                   takes generations off the queue, and answers no requests
  migrate                                  brings the database schema up to date
  check [--json]                           looks for what is wrong in the ledger and the stored images
  sweep                                    removes stored objects and records that nobody needs any more
  user reset-password EMAIL                sets a password, read from standard input
  user disable EMAIL [--undo]              refuses every credential of an account, or no longer
  user set-limit EMAIL USD|none            sets the monthly spending limit; none: the server's default
  user unlock EMAIL                        lifts the stop after failed logins
  keys revoke-unreadable                   revokes the API keys whose JWT_SECRET or API_KEY_PEPPER is lost

Configuration comes from the environment; see .env.example.`

/** EX_USAGE of sysexits.h. */
const EX_USAGE = 64

/** Runs one command and resolves to the exit code. */
export async function runCommand(
  args: readonly string[],
  io: Io = consoleIo,
  load: () => Config = readConfig,
): Promise<number> {
  try {
    return await dispatch(args, io, load)
  } catch (error) {
    if (error instanceof BootError) {
      io.fail(error.message)
      return error.exitCode
    }
    io.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return 1
  }
}

async function dispatch(args: readonly string[], io: Io, load: () => Config): Promise<number> {
  const { values, positionals } = parse(args)
  const [command = 'serve', ...rest] = positionals
  if (values.help) return say(io.print, 0)
  if (command === 'serve' && rest.length === 0) {
    await serve(load(), (url) => io.print(`NanoBanana listens on ${url}`))
    return 0
  }
  if (command === 'worker' && rest.length === 0) {
    await work(load(), () => io.print('NanoBanana works'))
    return 0
  }
  if (command === 'migrate' && rest.length === 0) return migrateCommand(load(), io)
  if (command === 'sweep' && rest.length === 0) return sweepCommand(load(), io)
  if (command === 'check' && rest.length === 0) return checkCommand(load(), values, io)
  if (command === 'keys' && rest.join(' ') === 'revoke-unreadable') return keysCommand(load(), io)
  if (command === 'user')
    return (await userCommand(load, rest, values, io)) ?? say(io.fail, EX_USAGE)
  return say(io.fail, EX_USAGE)
}

function say(print: Print, code: number): number {
  print(USAGE)
  return code
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        undo: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    })
  } catch {
    return { values: { help: false, undo: false }, positionals: ['?'] }
  }
}
