import { Command } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import { addCancel } from './commands/cancel.ts'
import { addGenerate } from './commands/generate.ts'
import { addKeys } from './commands/keys.ts'
import { addList } from './commands/list.ts'
import { addLogin } from './commands/login.ts'
import { addOpen } from './commands/open.ts'
import { addUsage } from './commands/usage.ts'
import { EXIT_HELP } from './exit-codes.ts'

const ENVIRONMENT_HELP = `
Environment:
  NANOBANANA_API_KEY   API key; pictures are then made and read by it, not by the login
  NANOBANANA_BASE_URL  address of the service
  XDG_CONFIG_HOME      folder of nanobanana/login.json, which keeps the login (default ~/.config)`

/** What `nanobanana` takes. */
export function createProgram(): Command {
  const program = new Command('nanobanana')
    .description('Makes images by a NanoBanana service.')
    .version(manifest.version)
    .option('--json', 'print one JSON document, for scripts')
    .option('--base-url <url>', 'address of the service (default: where you are logged in)')
    // Set before the commands are added, which take them over.
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  for (const add of [addLogin, addGenerate, addList, addOpen, addCancel, addKeys, addUsage]) {
    add(program)
  }
  return program.addHelpText('after', ENVIRONMENT_HELP).addHelpText('after', EXIT_HELP)
}
