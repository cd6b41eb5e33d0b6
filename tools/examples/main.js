// Runs each example as a user would, in a copy, with the packed SDK:
//   node tools/examples/main.js <tarball>
// The release build of the service must be there (`pnpm build`), and Debian's python3-requests.
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePort, post, startService } from '../service.js'
import { startProcess } from './process.js'

const run = promisify(execFile)
const EXAMPLES = join(import.meta.dirname, '../../examples')
const PATIENCE_MS = 120_000
// Debian's own, for which Debian has `requests`.
const PYTHON = process.env.PYTHON ?? '/usr/bin/python3'

/** What files begin with. */
const KINDS = {
  jpeg: (bytes) => bytes.subarray(0, 3).toString('hex') === 'ffd8ff',
  png: (bytes) => bytes.subarray(1, 4).toString() === 'PNG',
  webp: (bytes) => bytes.subarray(8, 12).toString() === 'WEBP',
}

async function expectPicture(file, kind) {
  const bytes = await readFile(file)
  if (!KINDS[kind](bytes)) throw new Error(`${file} is no ${kind}`)
}

const expectText = (text, pattern) => {
  if (!pattern.test(text)) throw new Error(`said ${text}, and not ${pattern}`)
}

/** A copy of an example, with `install` as its user types it and `command` in its folder. */
async function copyOf({ box, service, tarball }, name) {
  const folder = join(box, name)
  await cp(join(EXAMPLES, name), folder, { recursive: true })
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NANOBANANA_BASE_URL: service.baseUrl,
    NANOBANANA_API_KEY: service.apiKey,
    NEXT_TELEMETRY_DISABLED: '1',
  }
  const options = { cwd: folder, timeout: PATIENCE_MS }
  const npm = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline']
  return {
    folder,
    env,
    install: (packages = [tarball]) =>
      run('npm', [...npm, ...packages], { ...options, env: process.env }),
    command: async (file, args, more = {}) => {
      const { stdout } = await run(file, args, { ...options, env: { ...env, ...more } })
      return stdout
    },
  }
}

const EXAMPLES_BY_NAME = {
  curl: async (world) => {
    const { folder, command } = await copyOf(world, 'curl')
    await command('sh', ['generate.sh', 'a "quoted" banana & more', 'curl.jpg'])
    await expectPicture(join(folder, 'curl.jpg'), 'jpeg')
    const refused = await command('sh', ['generate.sh', '#sandbox:content_blocked']).catch((e) => e)
    if (refused.code !== 1) throw new Error('a refusal ends with 1')
    expectText(refused.stderr, /"code":"content_blocked"/)
  },
  'node-script': async (world) => {
    const { folder, install, command } = await copyOf(world, 'node-script')
    await install()
    expectText(await command('npm', ['start']), /^banana\.jpg: \d+x\d+, 0 USD$/m)
    await expectPicture(join(folder, 'banana.jpg'), 'jpeg')
  },
  'edit-an-image': async (world) => {
    const { folder, install, command } = await copyOf(world, 'edit-an-image')
    await install()
    await cp(join(world.box, 'node-script/banana.jpg'), join(folder, 'banana.jpg'))
    await command('npm', ['start', '--', 'banana.jpg', 'give it a hat'])
    for (const name of ['edited', 'night-1', 'night-2']) {
      await expectPicture(join(folder, `${name}.webp`), 'webp')
    }
  },
  'openai-client': async (world) => {
    const { folder, install, command } = await copyOf(world, 'openai-client')
    await install([])
    await command('npm', ['start'])
    await expectPicture(join(folder, 'banana.png'), 'png')
    await expectPicture(join(folder, 'hat.png'), 'png')
  },
  'python-requests': async (world) => {
    const { folder, command } = await copyOf(world, 'python-requests')
    await command(PYTHON, ['main.py', 'a banana', 'python.jpg'])
    await expectPicture(join(folder, 'python.jpg'), 'jpeg')
    const refused = await command(PYTHON, ['main.py', '#sandbox:no_image']).catch((error) => error)
    expectText(refused.stderr, /^no_image: /m)
  },
  'webhook-receiver': receiveWebhook,
  'next-app': serveFromNext,
}

async function receiveWebhook(world) {
  const { folder, env, install } = await copyOf(world, 'webhook-receiver')
  const { service } = world
  await install()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const events = ['generation.succeeded', 'generation.failed']
  const { secret } = await post(service.baseUrl, '/v1/webhooks', { url, events }, service.token)
  const receiver = startProcess(folder, 'node', ['main.js'], {
    ...env,
    WEBHOOK_SECRET: secret,
    PORT: String(port),
  })
  try {
    await receiver.says(/^listens on port/m)
    const forged = await fetch(url, { method: 'POST', body: '{}' })
    if (forged.status !== 400) throw new Error(`a forged message is answered ${forged.status}`)
    const wanted = { prompt: 'a banana that is told of' }
    const generation = await post(service.baseUrl, '/v1/generate', wanted, service.apiKey)
    await receiver.says(new RegExp(`^generation\\.succeeded ${generation.id}: http`, 'm'))
  } finally {
    await receiver.stop()
  }
}

async function serveFromNext(world) {
  const { folder, env, install, command } = await copyOf(world, 'next-app')
  await install()
  await command('npm', ['run', 'build'], { NANOBANANA_API_KEY: '' })
  const port = await freePort()
  const server = startProcess(folder, 'npm', ['start', '--', '--port', String(port)], env)
  try {
    await server.says(/Ready in/)
    const ask = (prompt) =>
      fetch(`http://127.0.0.1:${port}/api/pictures`, {
        method: 'POST',
        body: JSON.stringify({ prompt }),
      })
    const answer = await ask('a banana from Next.js')
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (!answer.ok || !KINDS.jpeg(bytes)) throw new Error(`answered ${answer.status}: ${bytes}`)
    const blocked = await ask('#sandbox:content_blocked')
    if (blocked.status !== 422) throw new Error(`a refusal is answered ${blocked.status}`)
  } finally {
    await server.stop()
  }
}

async function runAll(box, tarball) {
  const service = await startService(box, { WEBHOOK_ALLOW_PRIVATE: 'true' })
  let failed = 0
  try {
    for (const [name, example] of Object.entries(EXAMPLES_BY_NAME)) {
      const begun = Date.now()
      const said = await example({ box, service, tarball }).then(
        () => 'runs',
        (error) => `FAILED ${error.stack}\n${error.stdout ?? ''}${error.stderr ?? ''}`,
      )
      if (said !== 'runs') failed++
      process.stdout.write(`${name}: ${said} (${((Date.now() - begun) / 1000).toFixed(1)} s)\n`)
    }
  } finally {
    await service.stop()
  }
  return failed
}

const [tarball] = process.argv.slice(2)
if (tarball === undefined) throw new Error('usage: main.js <tarball>')
await readFile(tarball)
const box = await mkdtemp(join(tmpdir(), 'examples-'))
try {
  process.exitCode = (await runAll(box, resolve(tarball))) === 0 ? 0 : 1
} finally {
  await rm(box, { recursive: true, force: true })
}
