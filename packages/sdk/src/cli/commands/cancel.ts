import type { Command } from 'commander'
import { openCli } from '../cli.ts'

export function addCancel(program: Command): void {
  program
    .command('cancel')
    .description('Cancels a generation; nothing is charged.')
    .argument('<id>', 'gen_…')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const cli = await openCli(command)
      const generation = await cli.client().generations.cancel({ id })
      cli.print(generation, `Canceled ${generation.id}.`)
    })
}
