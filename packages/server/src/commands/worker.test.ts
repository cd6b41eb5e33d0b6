import { expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { runCommand } from './run.ts'

const SECRET = 'test-only-secret-0123456789-abcdefghij'
const POSTGRES = 'postgres://nobody@127.0.0.1:1/none'

test.each([
  ['an embedded database', {}, 'DATABASE_URL'],
  [
    'no places',
    { DATABASE_URL: POSTGRES, WORKERS: '0', PUBLIC_URL: 'https://x.example' },
    'WORKERS',
  ],
  ['no public address', { DATABASE_URL: POSTGRES }, 'PUBLIC_URL'],
])('a worker with %s ends with 78 and says why', async (_, env, name) => {
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const io = { print, fail: print, readInput: async () => '' }
  const load = () => loadConfig({ JWT_SECRET: SECRET, LOG_LEVEL: 'silent', ...env })
  expect(await runCommand(['worker'], io, load)).toBe(78)
  expect(lines.join('\n')).toContain(name)
})
