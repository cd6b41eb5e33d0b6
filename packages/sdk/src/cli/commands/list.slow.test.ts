import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../../server/test/harness.ts'
import { createShell, type Shell } from '../../../test/shell.ts'
import { startStub, succeed } from '../../../test/stub.ts'

let app: TestApp
let shell: Shell
const made: string[] = []
beforeAll(async () => {
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  const user = await app.register()
  const { key } = await app.createKey(user)
  shell = await createShell({
    NANOBANANA_BASE_URL: await app.listen(),
    NANOBANANA_API_KEY: key,
  })
  for (const prompt of ['an old one', 'red\nand on', 'the newest']) {
    const { json } = await app.request('POST', '/v1/generate', { token: key, body: { prompt } })
    made.push(json.id)
  }
})
afterAll(async () => {
  await shell[Symbol.asyncDispose]()
  await app[Symbol.asyncDispose]()
})

test('lists generations, newest first, and pages', async () => {
  const { json } = await shell.run(['list', '--limit', '2', '--json'])
  expect(json.data.map(({ id }: { id: string }) => id)).toEqual([made[2], made[1]])
  const rest = await shell.run(['list', '--cursor', json.next_cursor, '--json'])
  expect(rest.json).toMatchObject({ data: [{ id: made[0] }], next_cursor: null })
  const { stdout, stderr } = await shell.run(['list', '--limit', '2'])
  expect(stdout).toMatch(new RegExp(`^ID .*\n${made[2]}  succeeded  .*  the newest\n`))
  expect(stderr).toBe(`There are more: --cursor ${json.next_cursor}\n`)
})

test('finds by the words of a prompt and by status', async () => {
  const { json } = await shell.run(['list', '-q', 'old', '--status', 'succeeded', '--json'])
  expect(json.data).toMatchObject([{ id: made[0] }])
  const none = await shell.run(['list', '--status', 'failed'])
  expect(none).toMatchObject({ code: 0, stdout: '', stderr: 'There are none.\n' })
})

test('a prompt cannot steer the terminal that lists it', async () => {
  const entry = { id: 'gen_1', status: 'failed', created_at: '2026-01-01T00:00:00.000Z' }
  const prompt = 'red \u001B[31m\n\u009B2J \u202Etxt'
  await using stub = await startStub((_, response) =>
    succeed(response, { data: [{ ...entry, prompt, usage: { cost_usd: 0 } }], next_cursor: null }),
  )
  const { stdout } = await shell.run(['list', '--base-url', stub.url])
  const [, line] = stdout.split('\n')
  expect(line).toBe('gen_1  failed  2026-01-01 00:00Z  $0.00  red  [31m 2J  txt')
})

test('sums usage by day, key and model', async () => {
  for (const [by, field] of Object.entries({ day: 'day', key: 'key_id', model: 'model' })) {
    const { json } = await shell.run(['usage', '--by', by, '--json'])
    expect(json).toMatchObject({
      data: [{ [field]: expect.any(String), requests: 3 }],
      total: { requests: 3, images: 3, cost_usd: 0 },
    })
  }
  const { stdout } = await shell.run(['usage', '--from', '2026-01-01', '--to', '2026-01-02'])
  expect(stdout).toMatch(/^DAY +GENERATIONS .*\ntotal +0 +0 +0 +0 +\$0\.00\n$/)
})

test('cancels what runs, and says so where it has ended', async () => {
  const { NANOBANANA_API_KEY: token } = shell.env
  const slow = await app.request('POST', '/v1/generate', {
    token: token!,
    body: { prompt: 'slow #sandbox:slow=20' },
    headers: { prefer: 'respond-async' },
  })
  const { id } = slow.json
  expect(await shell.run(['cancel', id, '--json'])).toMatchObject({
    code: 0,
    json: { id, status: 'canceled' },
  })
  expect(await shell.run(['cancel', made[0]!])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('not_cancelable'),
  })
})

/** A command `xdg-open` that notes what it was given. */
async function installOpener(exitCode: number): Promise<Record<string, string>> {
  const folder = join(shell.folder, `bin-${exitCode}`)
  await mkdir(folder, { recursive: true })
  const script = `#!/bin/sh\nprintf %s "$*" > '${folder}/opened'\nexit ${exitCode}\n`
  await writeFile(join(folder, 'xdg-open'), script)
  await chmod(join(folder, 'xdg-open'), 0o755)
  return { PATH: `${folder}:${process.env['PATH']}`, DISPLAY: ':99', OPENED: `${folder}/opened` }
}

test('opens the image in the browser', async () => {
  const { OPENED = '', ...env } = await installOpener(0)
  const { code, json } = await shell.run(['open', made[0]!, '--json'], { env })
  expect({ code, json }).toMatchObject({ code: 0, json: { id: made[0], opened: true } })
  expect(await readFile(OPENED, 'utf8')).toBe(json.target)
  expect((await fetch(json.target)).status).toBe(200)
})

test('prints the address where there is no browser', async () => {
  const broken = await installOpener(3)
  const missing = { DISPLAY: ':99', PATH: join(shell.folder, 'empty') }
  for (const env of [broken, missing, {}]) {
    const printed = await shell.run(['open', made[0]!], { env })
    expect(printed).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^http.*\n$/),
      stderr: expect.stringContaining('no browser'),
    })
  }
})

test('a picture that is kept inline is opened from a file', async () => {
  await using inline = await createTestApp({ env: { PUBLIC_URL: '', STORAGE: 'inline' } })
  const { key } = await inline.createKey(await inline.register())
  const env = { NANOBANANA_BASE_URL: await inline.listen(), NANOBANANA_API_KEY: key }
  const { json, stdout } = await shell.run(['generate', 'a', '--json'], { env })
  expect(stdout).toContain('data:image/')
  const printed = await shell.run(['open', json.id], { env: { ...env, TMPDIR: shell.folder } })
  const bytes = await readFile(printed.stdout.trim())
  expect(bytes).toHaveLength(json.images[0].bytes)
  const short = await shell.run(['generate', 'a'], { env })
  expect(short.stdout).toMatch(/^http\S+\/v1\/images\/img_\w+\/content\n$/)
})

test.each(['file:///etc/passwd', '--version', 'javascript:alert(1)', '/usr/bin/true'])(
  'never hands %s to the opener',
  async (url) => {
    const generation = { id: 'gen_1', object: 'generation', status: 'succeeded', url, images: [] }
    await using stub = await startStub((_, response) => succeed(response, generation))
    const { OPENED = '', ...env } = await installOpener(0)
    await writeFile(OPENED, '')
    const refused = await shell.run(['open', 'gen_1'], {
      env: { ...env, NANOBANANA_BASE_URL: stub.url },
    })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(await readFile(OPENED, 'utf8')).toBe('')
  },
)

test.each([
  [64, ['list', '--limit', '0']],
  [64, ['list', '--status', 'odd']],
  [64, ['usage', '--by', 'week']],
  [64, ['usage', '--from', 'yesterday']],
  [66, ['open', 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz']],
  [66, ['cancel', 'gen_01jd5xk3f8e2r9v7m6q4t0w1yz']],
])('answers %d to %j', async (code, args) => {
  expect(await shell.run(args)).toMatchObject({ code, stdout: '' })
})
