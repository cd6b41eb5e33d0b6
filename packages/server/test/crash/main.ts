// Kills the service again and again and looks at what is left, in parts that can be resumed:
//   node --conditions=source packages/server/test/crash/main.ts --engine postgres --rounds 500 \
//     --state crash.jsonl [--from N]
// Each round is a line of the state file, and a run goes on after the last one. It ends with the figures,
// and with 1 if anything was lost, or a point was never met (twenty rounds have them all). The release
// build must be there (`pnpm build`); Postgres is the server of TEST_DATABASE_URL.
import { existsSync } from 'node:fs'
import { appendFile, readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { figuresOf } from './figures.ts'
import { POINTS } from './points.ts'
import { type Round, runRounds } from './rounds.ts'
import { ENGINES } from './world.ts'

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'pglite' },
    rounds: { type: 'string', default: '500' },
    from: { type: 'string' },
    state: { type: 'string', default: 'crash.jsonl' },
  },
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

async function readState(): Promise<Round[]> {
  if (!existsSync(values.state)) return []
  const lines = (await readFile(values.state, 'utf8')).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Round)
}

const engine = ENGINES.find((name) => name === values.engine)
if (engine === undefined) throw new Error(`--engine wants one of ${ENGINES.join(', ')}`)
const done = (await readState()).filter((round) => round.engine === engine)
const from = Number(values.from ?? Math.max(-1, ...done.map(({ round }) => round)) + 1)
const writes: Promise<void>[] = []
await runRounds(engine, { from, to: Number(values.rounds) }, (round) => {
  writes.push(appendFile(values.state, `${JSON.stringify(round)}\n`))
  const { point, reached, takeoverMs, faults } = round
  const where = reached ? point : `after the work, not ${point}`
  print(`${engine} ${round.round}: killed ${where}, whole after ${takeoverMs} ms`)
  for (const fault of faults) print(`  ${fault}`)
})
await Promise.all(writes)
const rounds = (await readState()).filter((round) => round.engine === engine)
for (const line of figuresOf(rounds)) print(line)
const missed = POINTS.filter((point) => !rounds.some((one) => one.point === point && one.reached))
if (missed.length > 0) print(`never met: ${missed.join(', ')}`)
process.exitCode = missed.length > 0 || rounds.some(({ faults }) => faults.length > 0) ? 1 : 0
