// Holds the pages to what the service does:  node tools/docs/run.js
// Each block of shell marked `sh run` is run, a page at a time, against the release build (`pnpm build`);
// the others are listed in not-run.js with a reason. Blocks of JSON are JSON, and links lead somewhere.
// `sh run 409` says how the last call of the block is answered; every other call succeeds.
import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { startService } from '../service.js'
import { blocksOf, documents, read } from './documents.js'
import { NOT_RUN } from './not-run.js'

const run = promisify(execFile)
const PATIENCE_MS = 120_000
const ADDRESS = 'http://127.0.0.1:3000'
// Its name cannot be resolved where CI has no network.
const HOOKS = ['https://example.com/hooks', 'http://127.0.0.1:9/hooks']
const ROOT = join(import.meta.dirname, '../..')

/** What is no shell: how else it is checked. */
const OTHERS = {
  ts: 'tools/consumer/check.js checks its types',
  json: 'is parsed here',
  sql: 'audit.security.test.ts runs it',
  haproxy: 'is the configuration of another program',
  '': 'is a drawing',
}

/** Tells the status of each call. */
const PRELUDE = `set -euo pipefail
curl() { command curl "$@" -w '%{stderr}\\n@status %{http_code}\\n'; }
`

const faults = []
const complain = (path, what) => faults.push(`${path}: ${what}`)

function checkBlock(path, { language, info, code }, unused) {
  const first = code.split('\n', 1)[0]
  if (language === 'json') return checkJson(path, code)
  if (language !== 'sh') {
    if (!Object.hasOwn(OTHERS, language)) complain(path, `nothing checks blocks of ${language}`)
    return
  }
  if (/^run( \d{3})?$/.test(info)) return
  const key = Object.keys(NOT_RUN[path] ?? {}).find((start) => code.startsWith(start))
  if (key === undefined) complain(path, `is neither run nor listed: ${first}`)
  unused.delete(`${path}: ${key}`)
}

function checkJson(path, code) {
  if (code.includes('…')) return
  try {
    JSON.parse(code)
  } catch (error) {
    complain(path, `a block of JSON: ${error.message}`)
  }
}

async function checkLinks(path, text) {
  const prose = text.replaceAll(/^```[^]*?^```$/gm, '')
  for (const [, target] of prose.matchAll(/\]\((?!https?:)([^)#]+)(#[^)]*)?\)/g)) {
    const isThere = await access(join(ROOT, dirname(path), target)).then(
      () => true,
      () => false,
    )
    if (!isThere) complain(path, `leads nowhere: ${target}`)
  }
}

/** Runs the marked blocks of a page one after the other, in one shell. */
async function runPage(path, blocks, { box, service }) {
  const folder = join(box, path.replaceAll(/\W/g, '-'))
  await mkdir(folder)
  await writeFile(join(folder, 'banana.jpg'), service.picture)
  const script = blocks.map(({ code }, i) => `printf '\\n@block ${i}\\n' >&2\n${code}`).join('\n')
  const text = script.replaceAll(ADDRESS, service.baseUrl).replaceAll(...HOOKS)
  await writeFile(join(folder, 'page.sh'), PRELUDE + text)
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    URL: service.baseUrl,
    TOKEN: service.token,
    KEY: service.apiKey,
  }
  const options = { cwd: folder, env, timeout: PATIENCE_MS }
  const { stdout, stderr, code } = await run('bash', ['page.sh'], options).catch((error) => error)
  const said = `${stdout}\n${stderr}`
  if (code !== undefined) return complain(path, `ended with ${code}:\n${said}`)
  const parts = stderr.split(/^@block \d+$/m).slice(1)
  for (const [i, { info, code: lines }] of blocks.entries()) {
    const statuses = [...parts[i].matchAll(/^@status (\d+)$/gm)].map(([, status]) => Number(status))
    const expected = info.split(' ')[1]
    const last = expected === undefined ? undefined : statuses.pop()
    if (last !== undefined && last !== Number(expected))
      complain(path, `${last}, not ${expected}: ${lines}\n${said}`)
    if (statuses.some((status) => status < 200 || status >= 400))
      complain(path, `answered ${statuses.join(' ')}: ${lines}\n${said}`)
  }
}

async function pictureOf({ baseUrl, apiKey }) {
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ prompt: 'a banana' })
  const answer = await fetch(`${baseUrl}/v1/generate`, { method: 'POST', headers, body })
  const { url } = await answer.json()
  return Buffer.from(await (await fetch(url)).arrayBuffer())
}

async function checkAll(box) {
  const started = await startService(box, {
    RATE_LIMIT_IP_RPM: '1000',
    WEBHOOK_ALLOW_PRIVATE: 'true',
  })
  try {
    const service = { ...started, picture: await pictureOf(started) }
    const unused = new Set(
      Object.entries(NOT_RUN).flatMap(([path, starts]) =>
        Object.keys(starts).map((start) => `${path}: ${start}`),
      ),
    )
    let count = 0
    for (const path of await documents()) {
      const text = await read(path)
      const blocks = blocksOf(text)
      for (const block of blocks) checkBlock(path, block, unused)
      await checkLinks(path, text)
      const marked = blocks.filter(
        ({ language, info }) => language === 'sh' && info.startsWith('run'),
      )
      count += marked.length
      if (marked.length > 0) await runPage(path, marked, { box, service })
    }
    for (const one of unused) faults.push(`not-run.js lists what is not there: ${one}`)
    if (count === 0) faults.push('no page has a block that is run')
    process.stdout.write(`${count} blocks of shell were run\n`)
  } finally {
    await started.stop()
  }
}

const box = await mkdtemp(join(tmpdir(), 'docs-'))
try {
  await checkAll(box)
} finally {
  await rm(box, { recursive: true, force: true })
}
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.exitCode = faults.length === 0 ? 0 : 1
