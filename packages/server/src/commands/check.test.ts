import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { withDatabase } from './operator.ts'
import { runCommand } from './run.ts'

let dataDir: string
const load = () => loadConfig({ DATA_DIR: dataDir, LOG_LEVEL: 'silent' })
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-check-'))
})
afterAll(() => rm(dataDir, { recursive: true, force: true }))

async function run(...args: string[]) {
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const code = await runCommand(args, { print, fail: print, readInput: async () => '' }, load)
  return { code, output: lines.join('\n') }
}

test('check ends with 0 where nothing is wrong, and with 1 and plain words where something is', async () => {
  expect(await run('check')).toEqual({
    code: 0,
    output: 'The ledger and the images are in order.',
  })
  const owner_id = randomUUID()
  await withDatabase(load(), ({ db }) =>
    db.insertInto('spending').values({ owner_id, month: '2026-01', micros: 5 }).execute(),
  )
  const told = await run('check')
  expect(told.code).toBe(1)
  expect(told.output).toBe(
    'I3 (the counter of a month is the sum of its ledger rows, and within the limit): ' +
      `its counter of 2026-01 is 5 micro-dollars, and its ledger rows say 0. ${owner_id}\n` +
      '1 violation found.',
  )
  const json = await run('check', '--json')
  expect(json.code).toBe(1)
  expect(JSON.parse(json.output)).toEqual({
    violations: [{ invariant: 'I3', what: expect.stringContaining('counter'), ids: [owner_id] }],
  })
  expect((await run('check', 'everything')).code).toBe(64)
})
