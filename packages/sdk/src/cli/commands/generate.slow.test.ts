import type { ChildProcess } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../../server/test/harness.ts'
import { createShell, hasTerminals, type Shell } from '../../../test/shell.ts'

let app: TestApp
let env: Record<string, string>
let token: string
let shell: Shell
beforeAll(async () => {
  app = await createTestApp({ env: { PUBLIC_URL: '' } })
  const user = await app.register()
  token = user.token
  const { key } = await app.createKey(user)
  env = { NANOBANANA_BASE_URL: await app.listen(), NANOBANANA_API_KEY: key }
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(async () => void (shell = await createShell(env)))
afterEach(() => shell[Symbol.asyncDispose]())

const PNG = '89504e47'
const startOf = async (name: string) =>
  (await readFile(join(shell.folder, name))).subarray(0, 4).toString('hex')
const newest = async () =>
  (await app.request('GET', '/v1/generations?mode=test&limit=1', { token })).json.data[0]

test('makes an image, saves it and says where', async () => {
  const made = await shell.run(['generate', 'a banana', '-o', 'out.png'])
  expect(made).toMatchObject({ code: 0, stdout: 'out.png\n' })
  expect(made.stderr).toMatch(/^gen_\w+: 1 image, 1024x1024 image\/png, \$0\.00\n$/)
  expect(await startOf('out.png')).toBe(PNG)
})

test('without --output it prints the address of the image', async () => {
  const { stdout } = await shell.run(['generate', 'a banana'])
  const response = await fetch(stdout.trim())
  expect(response.headers.get('content-type')).toMatch(/^image\//)
  expect(await readdir(shell.folder)).toEqual([])
})

test('several images are numbered', async () => {
  const made = await shell.run(['generate', 'bananas', '-n', '3', '-o', 'out.webp', '--json'])
  const files = ['out-1.webp', 'out-2.webp', 'out-3.webp']
  expect(made.json).toMatchObject({ status: 'succeeded', files, images: [{}, {}, {}] })
  expect(await readdir(shell.folder)).toEqual(files)
})

test('the options arrive as what they are called at the service', async () => {
  const wanted = ['--ratio', '16:9', '--size', '2K', '--seed', '7', '--model', 'nano-banana']
  const format = ['--format', 'jpeg', '--quality', '80']
  const { json } = await shell.run(['generate', 'a banana', ...wanted, ...format, '--json'])
  expect(json).toMatchObject({
    object: 'generation',
    prompt: 'a banana',
    model: 'gemini-nano-banana-2.1',
    images: [{ mime_type: 'image/jpeg', bytes: expect.any(Number) }],
    requested: { aspect_ratio: '16:9', size: '2K', seed: 7, output_quality: 80 },
    files: [],
  })
})

test('edits files and earlier generations', async () => {
  const { json: first } = await shell.run(['generate', 'a banana', '-o', 'ref.png', '--json'])
  const args = ['generate', 'at night', '-i', 'ref.png', '--image', first.id, '--json']
  const { json } = await shell.run(args)
  expect(json).toMatchObject({ parent_id: first.id, requested: { input_images: 2 } })
})

test('reads the prompt from standard input', async () => {
  const { json } = await shell.run(['generate', '-', '--json'], { input: 'two\nlines\n' })
  expect(json.prompt).toBe('two\nlines')
})

test('an existing file is kept, and nothing is made, unless --force says otherwise', async () => {
  await shell.run(['generate', 'the one before'])
  await writeFile(join(shell.folder, 'out-2.png'), 'precious')
  const args = ['generate', 'a banana', '-n', '2', '-o', 'out.png']
  const refused = await shell.run([...args, '--json'])
  expect(refused).toMatchObject({ code: 73, json: { error: { code: 'no_output' } } })
  expect(await readFile(join(shell.folder, 'out-2.png'), 'utf8')).toBe('precious')
  expect(await newest()).toMatchObject({ prompt: 'the one before' })

  expect(await shell.run([...args, '--force'])).toMatchObject({ code: 0 })
  expect(await startOf('out-2.png')).toBe(PNG)
})

test('a file that turns up meanwhile is kept, and the image can be found', async () => {
  const path = join(shell.folder, 'out.png')
  const running = shell.run(['generate', 'late #sandbox:slow=2', '-o', 'out.png'])
  await expect.poll(newest, { timeout: 10_000 }).toMatchObject({ prompt: 'late #sandbox:slow=2' })
  await writeFile(path, 'precious')
  expect(await running).toMatchObject({
    code: 73,
    stderr: expect.stringContaining(`nanobanana open ${(await newest()).id}`),
  })
  expect(await readFile(path, 'utf8')).toBe('precious')
})

test('a folder that is missing, or in the way, is told before anything is made', async () => {
  await mkdir(join(shell.folder, 'folder.png'))
  for (const path of ['nowhere/out.png', 'folder.png']) {
    expect(await shell.run(['generate', 'a', '-o', path, '-f'])).toMatchObject({ code: 73 })
  }
})

test.each([
  [64, ['generate']],
  [64, ['generate', 'a', 'banana']],
  [64, ['generate', 'a', '-n', 'two']],
  [64, ['generate', 'a', '-n', '5']],
  [64, ['generate', 'a', '-o', 'out.png', '--format', 'jpeg']],
  [64, ['generate', 'a', '--ratio', '17:9']],
  [64, ['generate', 'a', '--mode', 'test']],
  [65, ['generate', 'a #sandbox:content_blocked']],
  [65, ['generate', 'a #sandbox:no_image']],
  [66, ['generate', 'a', '--model', 'no-such-model']],
  [66, ['generate', 'a', '-i', 'missing.png']],
  [69, ['generate', 'a #sandbox:unavailable']],
])('answers %d to %j, as text and as JSON', async (code, args) => {
  const [failed, asJson] = await Promise.all([shell.run(args), shell.run([...args, '--json'])])
  expect(failed).toMatchObject({ code, stdout: '' })
  expect(failed.stderr).toMatch(/^nanobanana: /)
  expect(asJson).toMatchObject({ code, json: { error: { code: expect.any(String) } } })
  expect(await readdir(shell.folder)).toEqual([])
})

test('a failure says which generation it was', async () => {
  const { json } = await shell.run(['generate', 'a #sandbox:content_blocked', '--json'])
  expect(json).toEqual({
    error: {
      type: 'content_error',
      code: 'content_blocked',
      message: expect.any(String),
      param: null,
      request_id: null,
      generation_id: expect.stringMatching(/^gen_/),
    },
  })
})

test('an interrupt cancels what is being made', async () => {
  const { promise: started, resolve: onStart } = Promise.withResolvers<ChildProcess>()
  const running = shell.run(['generate', 'stop #sandbox:slow=20'], { onStart })
  const prompt = 'stop #sandbox:slow=20'
  await expect.poll(newest, { timeout: 10_000 }).toMatchObject({ prompt, status: 'running' })
  const child = await started
  child.kill('SIGINT')
  const ended = await running
  expect(ended).toMatchObject({ code: 130, stdout: '', stderr: 'nanobanana: Interrupted.\n' })
  await expect.poll(newest).toMatchObject({ prompt, status: 'canceled' })
})

test('without a key or a login it says how to get one', async () => {
  const failed = await shell.run(['generate', 'a'], { env: { NANOBANANA_API_KEY: '' } })
  expect(failed).toMatchObject({ code: 77, stderr: expect.stringContaining('nanobanana login') })
})

test('a login may choose its mode', async () => {
  await using mine = await createShell({ NANOBANANA_BASE_URL: env['NANOBANANA_BASE_URL']! })
  const { email, password } = await app.register()
  await mine.run(['login', email], { input: password })
  const { json } = await mine.run(['generate', 'a', '--mode', 'test', '--json'])
  expect(json).toMatchObject({ status: 'succeeded', mode: 'test' })
  const live = await mine.run(['generate', 'a', '--json'])
  expect(live).toMatchObject({ code: 69, json: { error: { code: 'provider_not_configured' } } })
})

test('through pipes there is neither progress nor picture, whatever the terminal could', async () => {
  const { stdout, stderr } = await shell.run(['generate', 'a #sandbox:slow=1'], {
    env: { TERM_PROGRAM: 'iTerm.app' },
  })
  expect(stdout + stderr).not.toContain('\u001B')
})

test.skipIf(!hasTerminals)('a terminal is shown progress, and none is left behind', async () => {
  const { stdout } = await shell.type(['generate', 'a #sandbox:slow=1'])
  expect(stdout).toMatch(/being made, \d s/)
  expect(stdout).toContain('\r\u001B[Kgen_')
})

test.skipIf(!hasTerminals)('a terminal that takes pictures is shown them', async () => {
  const terminal = { TERM_PROGRAM: 'iTerm.app' }
  const shown = await shell.type(['generate', 'a', '-o', 'out.png'], [], terminal)
  const base64 = (await readFile(join(shell.folder, 'out.png'))).toString('base64')
  expect(shown.stdout).toContain(`preserveAspectRatio=1:${base64}\u0007`)
  for (const flag of ['--no-preview', '--json']) {
    const { stdout } = await shell.type(['generate', 'a', flag], [], terminal)
    expect(stdout).not.toContain('1337;File')
  }
})
