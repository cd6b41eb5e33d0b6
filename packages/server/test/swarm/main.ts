// Proves what is promised of many processes, on the release build (`pnpm build`), Postgres
// (TEST_DATABASE_URL), the emulator of the provider and haproxy:
//   node --conditions=source packages/server/test/swarm/main.ts <part> [--full]
// It prints its figures, and ends with 1 if anything contradicts what is promised.
import { parseArgs } from 'node:util'
import { deliveries } from './deliveries.ts'
import type { Report } from './lanes.ts'
import { latency } from './latency.ts'
import { overload } from './overload.ts'
import { rolling } from './rolling.ts'
import { webhooks } from './webhooks.ts'

const PARTS: Readonly<Record<string, (isFull: boolean) => Promise<Report>>> = {
  deliveries,
  rolling,
  webhooks,
  overload,
  latency,
}
/** Told of all that is wrong. */
const MAX_FAULTS = 40

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false } },
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

const [name = ''] = positionals
const part = PARTS[name]
if (part === undefined) throw new Error(`one of ${Object.keys(PARTS).join(', ')} is wanted`)
const began = performance.now()
const { figures, faults } = await part(values.full)
for (const line of figures) print(`${name}: ${line}`)
for (const fault of faults.slice(0, MAX_FAULTS)) print(`  ${fault}`)
const seconds = ((performance.now() - began) / 1000).toFixed(0)
print(`${name}: ${faults.length === 0 ? 'whole' : `${faults.length} faults`} after ${seconds} s`)
process.exitCode = faults.length === 0 ? 0 : 1
