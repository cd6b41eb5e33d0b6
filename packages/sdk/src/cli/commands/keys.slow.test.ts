import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../../server/test/harness.ts'
import { createShell, type Shell } from '../../../test/shell.ts'

let app: TestApp
let baseUrl: string
let shell: Shell
beforeAll(async () => {
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  baseUrl = await app.listen()
  shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  const { email, password } = await app.register()
  await shell.run(['login', email], { input: password })
})
afterAll(async () => {
  await shell[Symbol.asyncDispose]()
  await app[Symbol.asyncDispose]()
})

const read = (token: string) => app.request('GET', '/v1/models', { token })

test('a key is created, and its secret stands alone on standard output', async () => {
  const created = await shell.run(['keys', 'create', 'for a script', '--mode', 'test'])
  expect(created).toMatchObject({ code: 0, stderr: expect.stringMatching(/^key_\w+ \(test\)/) })
  expect(created.stdout).toMatch(/^nb_test_\w{32}\n$/)
  expect((await read(created.stdout.trim())).status).toBe(200)
})

test('a key is created with what it may do', async () => {
  const limits = ['--rpm', '7', '--concurrency', '2', '--limit-usd', '1.5']
  const rest = ['--scopes', 'read,usage', '--expires', '2040-01-31T00:00:00Z', '--json']
  const args = ['keys', 'create', 'small', '--mode', 'test', ...limits, ...rest]
  const { json } = await shell.run(args)
  expect(json).toMatchObject({
    key: expect.stringMatching(/^nb_test_/),
    scopes: ['read', 'usage'],
    monthly_limit_usd: 1.5,
    requests_per_minute: 7,
    max_concurrency: 2,
    expires_at: '2040-01-31T00:00:00.000Z',
  })
})

test('a rotated key has a new secret, and the old one works until its grace ends', async () => {
  const { json: first } = await shell.run(['keys', 'create', 'to rotate', '--json'])
  const graceful = await shell.run(['keys', 'rotate', first.id, '--grace', '60', '--json'])
  expect(graceful.json).toMatchObject({ id: first.id })
  expect((await read(first.key)).status).toBe(200)
  const last = await shell.run(['keys', 'rotate', first.id])
  expect((await read(last.stdout.trim())).status).toBe(200)
  expect((await read(first.key)).status).toBe(401)
})

test('a revoked key is refused, and stays listed without its secret', async () => {
  const { json: key } = await shell.run(['keys', 'create', 'to revoke', '--json'])
  expect(await shell.run(['keys', 'revoke', key.id, '--json'])).toMatchObject({
    code: 0,
    json: { id: key.id, status: 'revoked' },
  })
  expect((await read(key.key)).status).toBe(401)
  const { json } = await shell.run(['keys', 'list', '--json'])
  expect(json.data).toContainEqual(expect.objectContaining({ id: key.id, status: 'revoked' }))
  const { stdout } = await shell.run(['keys', 'list'])
  expect(stdout).toMatch(new RegExp(`^${key.id} +to revoke .* revoked `, 'm'))
  expect(stdout + JSON.stringify(json)).not.toContain(key.key)
})

test('keys are managed with a login alone, whatever key the environment has', async () => {
  const { json: key } = await shell.run(['keys', 'create', 'of a program', '--json'])
  await using stranger = await createShell({
    NANOBANANA_BASE_URL: baseUrl,
    NANOBANANA_API_KEY: key.key,
  })
  const refused = await stranger.run(['keys', 'list', '--json'])
  expect(refused).toMatchObject({ code: 77, json: { error: { code: 'not_logged_in' } } })
  const env = { NANOBANANA_API_KEY: key.key }
  expect(await shell.run(['keys', 'list'], { env })).toMatchObject({ code: 0 })
})

test.each([
  [64, ['keys']],
  [64, ['keys', 'create']],
  [64, ['keys', 'create', 'a', '--mode', 'other']],
  [64, ['keys', 'create', 'a', '--rpm', 'many']],
  [64, ['keys', 'create', 'a', '--scopes', 'all']],
  [66, ['keys', 'revoke', 'key_01jd5xk3f8e2r9v7m6q4t0w1yz']],
])('answers %d to %j', async (code, args) => {
  const failed = await shell.run(args)
  expect(failed).toMatchObject({ code, stdout: '' })
  expect(failed.stderr).not.toBe('')
})
