import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../../server/test/harness.ts'
import { createShell, hasTerminals, type Shell } from '../../../test/shell.ts'
import { startStub } from '../../../test/stub.ts'

let app: TestApp
let baseUrl: string
let user: Account
beforeAll(async () => {
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  baseUrl = await app.listen()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const logIn = (shell: Shell) =>
  shell.run(['login', user.email, '--base-url', baseUrl], { input: `${user.password}\n` })

test('logs in with a password from standard input, and is known from then on', async () => {
  await using shell = await createShell()
  const login = await logIn(shell)
  expect(login).toMatchObject({ code: 0, stderr: '' })
  expect(login.stdout).toBe(`Logged in at ${baseUrl} as ${user.email}, for 7 days.\n`)
  // The address is remembered with the login.
  expect(await shell.run(['whoami'])).toMatchObject({
    code: 0,
    stdout: `${user.email} at ${baseUrl}, $0.00 spent this month\n`,
  })
  const { json } = await shell.run(['whoami', '--json'])
  expect(json).toMatchObject({ id: user.id, email: user.email, base_url: baseUrl })
})

test('the login is for its owner alone, and never printed', async () => {
  await using shell = await createShell()
  const login = await shell.run(['login', user.email, '--base-url', baseUrl, '--json'], {
    input: user.password,
  })
  expect(login.json).toEqual({ base_url: baseUrl, email: user.email, expires_in: 604_800 })
  const { access_token: token } = JSON.parse(await readFile(shell.loginFile, 'utf8'))
  expect(token).toMatch(/^eyJ/)
  expect(login.stdout + login.stderr).not.toContain(token)
  expect((await stat(shell.loginFile)).mode & 0o777).toBe(0o600)
  expect((await stat(dirname(shell.loginFile))).mode & 0o777).toBe(0o700)

  await chmod(shell.loginFile, 0o644)
  await logIn(shell)
  expect((await stat(shell.loginFile)).mode & 0o777).toBe(0o600)
})

test('logging out ends the token at the service and forgets it', async () => {
  await using shell = await createShell()
  await logIn(shell)
  const { access_token: token } = JSON.parse(await readFile(shell.loginFile, 'utf8'))
  expect(await shell.run(['logout', '--json'])).toMatchObject({
    code: 0,
    json: { base_url: baseUrl, logged_out: true },
  })
  expect((await app.request('GET', '/v1/auth/me', { token })).status).toBe(401)
  await expect(stat(shell.loginFile)).rejects.toThrow('ENOENT')
  expect(await shell.run(['whoami', '--base-url', baseUrl])).toMatchObject({ code: 77 })
})

test('logging out forgets the token where the service has ended it already', async () => {
  await using shell = await createShell()
  await logIn(shell)
  const { access_token: token } = JSON.parse(await readFile(shell.loginFile, 'utf8'))
  await app.request('POST', '/v1/auth/logout', { token })
  expect((await shell.run(['whoami'])).stderr).toMatch(/invalid_token.*\nLog in with/)
  expect(await shell.run(['logout'])).toMatchObject({ code: 0 })
  await expect(stat(shell.loginFile)).rejects.toThrow('ENOENT')
})

test('a wrong password is told as such and leaves no login behind', async () => {
  await using shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  const failed = await shell.run(['login', user.email, '--json'], { input: 'not the password' })
  expect(failed).toMatchObject({
    code: 77,
    json: { error: { type: 'authentication_error', code: 'invalid_credentials' } },
  })
  expect(failed.stderr).toContain('invalid_credentials')
  expect(failed.stdout + failed.stderr).not.toContain('not the password')
  await expect(stat(shell.loginFile)).rejects.toThrow('ENOENT')
})

test('the password is never taken from the arguments, nor repeated from there', async () => {
  await using shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  const option = await shell.run(['login', user.email, '--password=hunter2', '--json'])
  expect(option).toMatchObject({ code: 64, json: { error: { code: 'usage' } } })
  const argument = await shell.run(['login', user.email, 'hunter2'])
  expect(argument.code).toBe(64)
  for (const { stdout, stderr } of [option, argument]) {
    expect(stdout + stderr).not.toContain('hunter2')
  }
})

test('without a terminal the email address must be named', async () => {
  await using shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  expect(await shell.run(['login'], { input: user.password })).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('nanobanana login <email>'),
  })
})

test('the token goes to no other service than where it is from', async () => {
  await using other = await startStub((_, response) => void response.writeHead(500).end())
  await using shell = await createShell()
  await logIn(shell)
  for (const args of [['whoami'], ['logout'], ['list'], ['keys', 'list']]) {
    const ran = await shell.run([...args, '--base-url', other.url])
    expect(ran).toMatchObject({ code: 77, stderr: expect.stringContaining(other.url) })
  }
  expect(other.received).toEqual([])
  expect(await shell.run(['whoami'])).toMatchObject({ code: 0 })
})

test('the environment’s key is not sent along with a password', async () => {
  await using stub = await startStub((_, response) => void response.writeHead(400).end())
  await using shell = await createShell({ NANOBANANA_API_KEY: 'nb_live_secret' })
  await shell.run(['login', 'a@example.com', '--base-url', stub.url], { input: 'a password' })
  expect(stub.received.length).toBeGreaterThan(0)
  for (const { headers } of stub.received) expect(headers.authorization).toBeUndefined()
})

test.each(['{"access_token":"eyJsecret', '{"access_token":"eyJsecret"}', ''])(
  'a login that reads %j is refused without telling what is in it',
  async (text) => {
    await using shell = await createShell()
    await mkdir(dirname(shell.loginFile), { recursive: true })
    await writeFile(shell.loginFile, text)
    const failed = await shell.run(['whoami'])
    expect(failed).toMatchObject({ code: 78, stderr: expect.stringContaining(shell.loginFile) })
    expect(failed.stderr).not.toContain('eyJsecret')
  },
)

test.skipIf(!hasTerminals)('on a terminal it asks, and the password is not echoed', async () => {
  await using shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  const login = await shell.type(
    ['login'],
    [
      ['Email: ', `${user.email}\r`],
      ['Password: ', `${user.password}x\u007F\r`],
    ],
  )
  expect(login.code).toBe(0)
  expect(stripVTControlCharacters(login.stdout)).toContain(`Email: ${user.email}`)
  expect(login.stdout).toContain(`Logged in at ${baseUrl}`)
  expect(login.stdout).not.toContain(user.password.slice(0, 5))
})

test.skipIf(!hasTerminals)('an interrupt at the prompt ends it', async () => {
  await using shell = await createShell({ NANOBANANA_BASE_URL: baseUrl })
  const ended = await shell.type(['login', user.email], [['Password: ', '\u0003']])
  expect(ended).toMatchObject({ code: 130, stdout: expect.stringContaining('Interrupted.') })
  await expect(stat(shell.loginFile)).rejects.toThrow('ENOENT')
})
