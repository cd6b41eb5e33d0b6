#!/usr/bin/env node
import { CommanderError } from 'commander'
import { EXIT } from './exit-codes.ts'
import { explain, toCliError } from './failure.ts'
import { createProgram } from './program.ts'

async function main(argv: readonly string[]): Promise<number> {
  const program = createProgram()
  try {
    await program.parseAsync(argv, { from: 'user' })
    return 0
  } catch (thrown) {
    // Help and version come by this way as well.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
    if (thrown instanceof CommanderError && thrown.code === 'commander.help') return EXIT.usage
    const error = toCliError(thrown)
    if (program.opts<{ json?: true }>().json) {
      process.stdout.write(`${JSON.stringify({ error: error.failure }, null, 2)}\n`)
    }
    process.stderr.write(`${explain(error)}\n`)
    return error.exitCode
  }
}

// Whoever reads the first lines only, as `head` does, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
process.exitCode = await main(process.argv.slice(2))
