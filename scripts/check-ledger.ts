// `nanobanana-server check` from the sources: node --conditions=source scripts/check-ledger.ts [--json]
import { runCommand } from '../packages/server/src/commands/run.ts'

process.exitCode = await runCommand(['check', ...process.argv.slice(2)])
