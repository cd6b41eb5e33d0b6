// A project that has nothing but TypeScript and the packed SDK: its types are checked as strictly as
// there is, under both ways of resolving modules, with every block of code of the README; and the
// size of the main entry is bounded.  node tools/consumer/check.js <tarball>
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const DOCUMENTS = ['README.md', 'packages/sdk/README.md']
const MAX_GZIP_BYTES = 20_000
const RESOLUTIONS = { nodenext: 'nodenext', bundler: 'esnext' }

/** What the blocks take as given: run times have it, or the text says so. */
const GIVEN = `declare const process: { env: Record<string, string | undefined> }
declare const secret: string
declare const file: File
declare const bytes: Uint8Array
`

const options = (moduleResolution, module) => ({
  module,
  moduleResolution,
  target: 'ES2022',
  lib: ['ES2022', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  noEmit: true,
  types: [],
})

async function createConsumer(folder, tarball) {
  const manifest = { name: 'consumer', private: true, type: 'module' }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: folder })
  await mkdir(join(folder, 'src'))
  await symlink(join(root, 'node_modules/typescript'), join(folder, 'node_modules/typescript'))
  await writeFile(join(folder, 'src/given.d.ts'), GIVEN)
}

/** Writes each block as a module; answers how many there are. */
async function writeBlocks(folder) {
  let count = 0
  for (const document of DOCUMENTS) {
    const text = await readFile(join(root, document), 'utf8')
    for (const [, code] of text.matchAll(/^```ts\n([^]*?)^```$/gm)) {
      const name = `${document.replaceAll(/\W/g, '-')}-${++count}.ts`
      await writeFile(join(folder, 'src', name), `${code}\nexport {}\n`)
    }
  }
  return count
}

async function checkTypes(folder) {
  for (const [resolution, module] of Object.entries(RESOLUTIONS)) {
    const config = { compilerOptions: options(resolution, module), include: ['src'] }
    const path = join(folder, `${resolution}.json`)
    await writeFile(path, JSON.stringify(config))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    await run(process.execPath, [tsc, '-p', path], { cwd: folder })
    process.stdout.write(`types under ${resolution}: strict, no skipLibCheck, none wrong\n`)
  }
}

/** A module and what it imports. */
async function textsOf(folder, name, seen = new Map()) {
  if (seen.has(name)) return seen
  const text = await readFile(join(folder, name), 'utf8')
  seen.set(name, text)
  for (const [, next] of text.matchAll(/^import .* from "\.\/(.+)";$/gm)) {
    await textsOf(folder, next, seen)
  }
  return seen
}

async function measure(folder) {
  const dist = join(folder, 'node_modules/@nanobanana/sdk/dist')
  for (const entry of ['index.js', 'webhooks.js']) {
    const texts = [...(await textsOf(dist, entry)).values()].join('\n')
    const bytes = gzipSync(texts, { level: 9 }).length
    process.stdout.write(`${entry}: ${bytes} bytes by gzip (at most ${MAX_GZIP_BYTES})\n`)
    if (bytes > MAX_GZIP_BYTES) process.exitCode = 1
  }
}

const [tarball] = process.argv.slice(2)
if (tarball === undefined) throw new Error('usage: check.js <tarball>')
const folder = await mkdtemp(join(tmpdir(), 'consumer-'))
try {
  await createConsumer(folder, resolve(tarball))
  const count = await writeBlocks(folder)
  if (count === 0) throw new Error('the documents have no blocks of code')
  process.stdout.write(`${count} blocks of code from ${DOCUMENTS.join(', ')}\n`)
  await checkTypes(folder)
  await measure(folder)
} catch (error) {
  process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}${error.stack}\n`)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
