import { parseArgs } from 'node:util'

import { startEmulator } from './emulator.ts'
import type { EmulatorOptions } from './emulator.ts'
import { parseScenario } from './scenario.ts'

const HELP = `Plays Google's Gemini API. Flags:
  --port N                 any free port by default
  --host NAME              127.0.0.1 by default
  --path-prefix PATH       path before /v1
  --api-key KEY            an accepted key, may be repeated; any key by default
  --bad-api-key KEY        a refused key, may be repeated; "bad" by default
  --signature-bytes N      size of each thoughtSignature, 1100000 by default
  --picture-style STYLE    gradient, solid or noise
  --scenario NAME|JSON     what is played when the queue is empty
  --gzip                   compress answers for callers that accept it
`

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string' },
    host: { type: 'string' },
    'path-prefix': { type: 'string' },
    'api-key': { type: 'string', multiple: true },
    'bad-api-key': { type: 'string', multiple: true },
    'signature-bytes': { type: 'string' },
    'picture-style': { type: 'string' },
    scenario: { type: 'string' },
    gzip: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})

if (flags.help) process.stdout.write(HELP)
else await run()

async function run(): Promise<void> {
  const emulator = await startEmulator(readOptions())
  process.stdout.write(`${emulator.url}\n`)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void emulator.close())
  }
}

function readOptions(): EmulatorOptions {
  return {
    port: readNumber('port'),
    host: flags.host,
    pathPrefix: flags['path-prefix'],
    apiKeys: flags['api-key'],
    badApiKeys: flags['bad-api-key'],
    signatureBytes: readNumber('signature-bytes'),
    pictureStyle: readStyle(),
    scenario: flags.scenario === undefined ? undefined : readScenario(flags.scenario),
    gzip: flags.gzip,
  }
}

function readNumber(flag: 'port' | 'signature-bytes'): number | undefined {
  const text = flags[flag]
  if (text === undefined) return undefined
  const number = Number(text)
  if (Number.isInteger(number) && number >= 0) return number
  throw new Error(`--${flag} wants a number, not ${text}`)
}

function readStyle(): EmulatorOptions['pictureStyle'] {
  const style = flags['picture-style']
  if (style === undefined || style === 'gradient' || style === 'solid' || style === 'noise') {
    return style
  }
  throw new Error(`--picture-style wants gradient, solid or noise, not ${style}`)
}

function readScenario(text: string) {
  return parseScenario(text.startsWith('{') ? JSON.parse(text) : text)
}
