import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { lockFolder } from '../db/folder-lock.ts'
import { createService, type Service } from '../service.ts'
import { runCommand } from './run.ts'

const EMAIL = 'ada@example.com'
const PASSWORD = 'correct horse battery'

let dataDir: string
const load = () =>
  loadConfig({ DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'silent', BCRYPT_COST: '10' })

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'nanobanana-commands-'))
  await withService((post) => post('/v1/auth/register', { email: EMAIL, password: PASSWORD }))
})
afterAll(() => rm(dataDir, { recursive: true, force: true }))

type Post = (path: string, body: object) => Promise<number>

/** Starts the service on the folder, as an operator would between two commands. */
async function withService<T>(work: (post: Post) => Promise<T>): Promise<T> {
  await using service = await createService(load())
  return await work(async (url, payload) => {
    const { statusCode } = await service.http.app.inject({ method: 'POST', url, payload })
    return statusCode
  })
}
const login = (password = PASSWORD) =>
  withService((post) => post('/v1/auth/login', { email: EMAIL, password }))

async function run(args: string[], input = '') {
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const code = await runCommand(args, { print, fail: print, readInput: async () => input }, load)
  return { code, output: lines.join('\n') }
}

test('migrate says that the schema is up to date', async () => {
  expect(await run(['migrate'])).toEqual({ code: 0, output: 'The schema is up to date.' })
})

test('sweep says of each task what it removed', async () => {
  const { code, output } = await run(['sweep'])
  expect(code).toBe(0)
  expect(output).toContain('disk objects: 0 removed\ns3 objects: 0 removed')
  expect((await run(['sweep', 'all'])).code).toBe(64)
})

test('sweep leaves a store alone that another database has marked, says so and ends with 1', async () => {
  const folder = join(dataDir, 'files', 'databases')
  await mkdir(folder, { recursive: true })
  const marker = join(folder, '01890000-0000-7000-8000-000000000001')
  await writeFile(marker, '')
  const { code, output } = await run(['sweep'])
  expect(code).toBe(1)
  expect(output).toMatch(
    /^disk objects: failed: .*marked by another database.*databases\/01890000/m,
  )
  expect(output).toContain('s3 objects: 0 removed')
  await rm(marker)
  expect((await run(['sweep'])).code).toBe(0)
})

test('user disable refuses the account, and --undo lets it in again', async () => {
  expect(await run(['user', 'disable', EMAIL])).toEqual({ code: 0, output: 'Done.' })
  expect(await login()).toBe(401)
  expect((await run(['user', 'disable', EMAIL, '--undo'])).code).toBe(0)
  expect(await login()).toBe(200)
})

test('user unlock lifts the wait after failed logins', async () => {
  const statuses = await withService(async (post) => {
    const all: number[] = []
    for (let n = 0; n < 6; n++) {
      all.push(await post('/v1/auth/login', { email: EMAIL, password: 'a wrong password' }))
    }
    return all
  })
  expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
  expect((await run(['user', 'unlock', EMAIL])).code).toBe(0)
  expect(await login()).toBe(200)
})

test('user set-limit takes dollars or none, and user reset-password a password from its input', async () => {
  expect((await run(['user', 'set-limit', EMAIL, '12.5'])).code).toBe(0)
  expect((await run(['user', 'set-limit', EMAIL, 'none'])).code).toBe(0)
  expect((await run(['user', 'set-limit', EMAIL, '-1'])).code).toBe(64)
  const weak = await run(['user', 'reset-password', EMAIL], 'password123')
  expect(weak.code).toBe(1)
  expect(weak.output).not.toContain('password123')
  expect((await run(['user', 'reset-password', EMAIL], 'another horse battery')).code).toBe(0)
  expect(await login('another horse battery')).toBe(200)
})

test('keys revoke-unreadable lets a service start again whose secrets were lost', async () => {
  const keyOf = async (service: Service) => {
    const send = async (url: string, payload: object, token?: string) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const answer = await service.http.app.inject({ method: 'POST', url, payload, headers })
      return answer.json<{ access_token: string; key: string }>()
    }
    const credentials = { email: 'keys@example.com', password: PASSWORD }
    await send('/v1/auth/register', credentials)
    const { access_token: token } = await send('/v1/auth/login', credentials)
    return (await send('/v1/keys', { name: 'a key', mode: 'test' }, token)).key
  }
  const works = async (service: Service, key: string) => {
    const headers = { authorization: `Bearer ${key}` }
    const url = '/v1/generations'
    return (await service.http.app.inject({ method: 'GET', url, headers })).statusCode
  }
  const start = () => createService(load())
  let old = ''
  {
    await using service = await start()
    old = await keyOf(service)
  }
  await rm(join(dataDir, 'secrets.json'))
  await expect(start()).rejects.toThrow(/1 active API keys.*keys revoke-unreadable/)
  const revoked = await run(['keys', 'revoke-unreadable'])
  expect(revoked).toEqual({ code: 0, output: 'Revoked 1 API key.' })
  let fresh = ''
  {
    await using service = await start()
    expect(await works(service, old)).toBe(401)
    fresh = await keyOf(service)
  }
  const again = await run(['keys', 'revoke-unreadable'])
  expect(again).toEqual({ code: 0, output: 'Revoked 0 API keys.' })
  await using service = await start()
  expect(await works(service, fresh)).toBe(200)
})

test('a command for an account that is not there ends with 1, a wrong call with 64 and the usage', async () => {
  expect((await run(['user', 'disable', 'nobody@example.com'])).code).toBe(1)
  for (const args of [
    ['user'],
    ['user', 'promote', EMAIL],
    ['dance'],
    ['keys'],
    ['keys', 'revoke-unreadable', 'now'],
    ['--loud'],
    ['migrate', 'x'],
  ]) {
    const { code, output } = await run(args)
    expect(code).toBe(64)
    expect(output).toContain('Usage: nanobanana-server')
  }
})

test('a command on a folder that another process uses ends with 78 and one clear line', async () => {
  await using _lock = await lockFolder(dataDir)
  const { code, output } = await run(['migrate'])
  expect(code).toBe(78)
  expect(output).toContain(dataDir)
})
