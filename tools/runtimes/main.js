// Installs the packed SDK into a project of its own and makes one call from each run time:
//   node tools/runtimes/main.js <tarball>
// The release build of the service must be there (`pnpm build`), and Debian's chromium-headless-shell.
import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { startService } from '../service.js'
import { startPage } from './page.js'
import { workerConfig } from './worker.js'

const run = promisify(execFile)
const here = import.meta.dirname
const PATIENCE_MS = 60_000
const CHROMIUM = process.env.CHROMIUM ?? 'chromium-headless-shell'
const binary = (path) => join(here, 'node_modules', path)

/** One pixel. */
const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='

const SCRIPT = `import { NanoBanana } from '@nanobanana/sdk'
import { verify } from '@nanobanana/sdk/webhooks'
import { call } from './call.js'
import settings from './settings.json' with { type: 'json' }
console.log(await call({ NanoBanana, verify }, settings))
`

async function createConsumer(folder, tarball) {
  await mkdir(folder)
  const manifest = { name: 'consumer', private: true, type: 'module' }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: folder })
  await copyFile(join(here, 'call.js'), join(folder, 'call.js'))
  await writeFile(join(folder, 'script.js'), SCRIPT)
}

const runtimes = (folder, page, settings) => ({
  'Node 20': () => command(folder, binary('node20/bin/node'), ['script.js']),
  'Node 22': () => command(folder, binary('node22/bin/node'), ['script.js']),
  'Node 24': () => command(folder, process.execPath, ['script.js']),
  Bun: () => command(folder, binary('@oven/bun-linux-x64/bin/bun'), ['script.js']),
  Deno: () =>
    command(folder, binary('@deno/linux-x64-glibc/deno'), [
      'run',
      '--no-remote',
      '--node-modules-dir=manual',
      '--allow-net=127.0.0.1',
      '--allow-env',
      '--allow-read',
      'script.js',
    ]),
  workerd: () =>
    command(folder, binary('@cloudflare/workerd-linux-64/bin/workerd'), [
      'test',
      '--verbose',
      'worker.capnp',
    ]),
  Chromium: () => browse(page),
  'the command nanobanana': () => commandLine(folder, settings),
})

async function command(cwd, file, args) {
  const { stdout, stderr } = await run(file, args, { cwd, timeout: PATIENCE_MS })
  return /^succeeded, .*$/m.exec(stdout + stderr)?.[0] ?? `FAILED ${stdout}${stderr}`
}

/** As npm has linked it, by the oldest Node that is promised. */
async function commandLine(cwd, { baseUrl, apiKey }) {
  const env = { HOME: cwd, NANOBANANA_BASE_URL: baseUrl, NANOBANANA_API_KEY: apiKey }
  const args = ['node_modules/.bin/nanobanana', 'generate', 'a banana', '-o', 'made.png', '--json']
  const { stdout } = await run(binary('node20/bin/node'), args, { cwd, env, timeout: PATIENCE_MS })
  const { status, files } = JSON.parse(stdout)
  const { length } = await readFile(join(cwd, files[0]))
  return `${status}, ${files[0]}, ${length} bytes`
}

async function browse({ origin, told }) {
  const profile = await mkdtemp(join(tmpdir(), 'profile-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`]
  // Debian's command is a script, whose browser would outlive it: they are ended as a group.
  const args = [...flags, '--remote-debugging-port=0', `${origin}/`]
  const browser = spawn(CHROMIUM, args, { detached: true, stdio: 'ignore' })
  const ended = new Promise((done) => void browser.once('exit', done))
  const missing = new Promise((_, reject) => void browser.once('error', reject))
  let timer
  const late = new Promise((done) => {
    timer = setTimeout(done, PATIENCE_MS, 'FAILED: the page said nothing')
  })
  try {
    return await Promise.race([told, late, missing])
  } finally {
    clearTimeout(timer)
    if (browser.pid !== undefined) {
      process.kill(-browser.pid, 'SIGKILL')
      await ended
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function tryAll(box, tarball) {
  const folder = join(box, 'consumer')
  await createConsumer(folder, tarball)
  const page = await startPage(folder)
  const service = await startService(box, { CORS_ORIGINS: page.origin })
  try {
    const settings = { baseUrl: service.baseUrl, apiKey: service.apiKey, picture: PICTURE }
    await writeFile(join(folder, 'settings.json'), JSON.stringify(settings))
    await writeFile(join(folder, 'worker.capnp'), await workerConfig(folder, settings))
    page.show(settings)
    let failed = 0
    for (const [name, call] of Object.entries(runtimes(folder, page, settings))) {
      const said = await call().catch((error) => `FAILED ${error.message} ${error.stdout ?? ''}`)
      if (!said.startsWith('succeeded')) failed++
      process.stdout.write(`${name}: ${said}\n`)
    }
    return failed
  } finally {
    page.close()
    await service.stop()
  }
}

const [tarball] = process.argv.slice(2)
if (tarball === undefined) throw new Error('usage: main.js <tarball>')
await readFile(tarball)
const box = await mkdtemp(join(tmpdir(), 'runtimes-'))
try {
  process.exitCode = (await tryAll(box, resolve(tarball))) === 0 ? 0 : 1
} finally {
  await rm(box, { recursive: true, force: true })
}
