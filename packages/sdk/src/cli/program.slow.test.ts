import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ERRORS } from '@nanobanana/shared/errors'
import manifest from '../../package.json' with { type: 'json' }
import { createShell, type Shell } from '../../test/shell.ts'
import { fail, startStub } from '../../test/stub.ts'
import { exitCodeOf } from './exit-codes.ts'

let shell: Shell
beforeAll(async () => void (shell = await createShell({ NANOBANANA_API_KEY: 'nb_test_1' })))
afterAll(() => shell[Symbol.asyncDispose]())

const COMMANDS = [
  'login',
  'logout',
  'whoami',
  'generate',
  'list',
  'open',
  'cancel',
  'keys',
  'usage',
]

test('tells its version, its commands, its exit codes and its environment', async () => {
  expect(await shell.run(['--version'])).toMatchObject({ code: 0, stdout: `${manifest.version}\n` })
  const { code, stdout } = await shell.run(['--help'])
  expect(code).toBe(0)
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
  expect(stdout).toMatch(/Environment:\n  NANOBANANA_API_KEY[^]*Exit codes:\n   0  done\n  64/)
})

test.each(COMMANDS)('tells how %s is called, and that it takes --json', async (command) => {
  const { code, stdout } = await shell.run([command, '--help'])
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`^Usage: nanobanana ${command}`))
  expect(stdout).toContain('--json')
})

test.each([[[]], [['bogus']], [['list', '--bogus']], [['list', 'too', 'many']]])(
  'a call like %j is wrong, which is 64',
  async (args) => {
    const failed = await shell.run(args)
    expect(failed).toMatchObject({ code: 64, stdout: '' })
    expect(failed.stderr).toContain('nanobanana')
  },
)

test.each([
  ['invalid_input', 64],
  ['content_blocked', 65],
  ['not_found', 66],
  ['provider_not_configured', 69],
  ['upstream_failed', 69],
  ['budget_exceeded', 75],
  ['rate_limited', 75],
  ['invalid_api_key', 77],
  ['insufficient_scope', 77],
  ['not_cancelable', 1],
  ['internal', 1],
] as const)('an error %s of the service ends with %d, and is told whole', async (code, exit) => {
  const { status, type } = ERRORS[code]
  await using stub = await startStub((_, response) => {
    const body = { type, code, message: 'No \u001B[31m.', param: 'limit', request_id: 'req_1' }
    fail(response, status, body, { 'x-should-retry': 'false' })
  })
  const failed = await shell.run(['list', '--json', '--base-url', stub.url])
  expect(failed.code).toBe(exit)
  expect(failed.json).toEqual({
    error: {
      type,
      code,
      message: 'No \u001B[31m.',
      param: 'limit',
      request_id: 'req_1',
      generation_id: null,
    },
  })
  expect(failed.stderr).toContain(code)
  expect(failed.stderr).not.toContain('\u001B')
})

test('a service that is not there is unavailable', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  const failed = await shell.run(['list', '--json', '--base-url', `http://127.0.0.1:${port}`])
  expect(failed).toMatchObject({ code: 69, json: { error: { code: 'connection_failed' } } })
})

test('every type of error has an exit code of its own choosing', () => {
  const types = new Set(Object.values(ERRORS).map(({ type }) => type))
  const codes = [...types].map((type) => [type, exitCodeOf(type)])
  const others = codes.filter(([, code]) => code === 1).map(([type]) => type)
  expect(others.toSorted()).toEqual(['api_error', 'conflict_error'])
  expect(exitCodeOf('of_a_newer_service')).toBe(1)
  expect(exitCodeOf('constructor')).toBe(1)
})

test.each(['localhost:3000', 'ftp://example.com', 'https://me:secret@example.com'])(
  'the address %s is refused without its secret',
  async (url) => {
    const failed = await shell.run(['list', '--base-url', url])
    expect(failed).toMatchObject({ code: 64, stdout: '' })
    expect(failed.stderr).not.toContain('secret')
  },
)

test('a key that cannot be one is refused without being told', async () => {
  const env = { NANOBANANA_API_KEY: 'nb_live_s€cret' }
  const failed = await shell.run(['list'], { env })
  expect(failed).toMatchObject({ code: 77, stdout: '' })
  expect(failed.stderr).not.toContain('nb_live_s')
})
