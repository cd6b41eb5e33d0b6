// A project that has nothing but TypeScript and the packed SDK: its types are checked as strictly as
// there is, under both ways of resolving modules, with every block of TypeScript of the pages; and the
// size of the main entry is bounded.  node tools/consumer/check.js <tarball>
// Blocks that use OpenAI's client are checked beside it; it is installed with the tools.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { blocksOf, documents, read } from '../docs/documents.js'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const MAX_GZIP_BYTES = 20_000
const RESOLUTIONS = { nodenext: 'nodenext', bundler: 'esnext' }

/** What the blocks take as given: run times have it, or the text says so. */
const GIVEN = `declare const process: { env: Record<string, string | undefined> }
declare const secret: string
declare const file: File
declare const bytes: Uint8Array
`

/** Its types want those of Node. */
const FOREIGN = { folder: 'foreign', imports: /from 'openai'/, skipLibCheck: true, types: ['node'] }

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
  const links = {
    typescript: 'node_modules/typescript',
    '@types/node': 'node_modules/@types/node',
    openai: 'tools/node_modules/openai',
  }
  await mkdir(join(folder, 'node_modules/@types'), { recursive: true })
  for (const [name, path] of Object.entries(links)) {
    await symlink(join(root, path), join(folder, 'node_modules', name))
  }
  for (const name of ['src', FOREIGN.folder]) await mkdir(join(folder, name))
  await writeFile(join(folder, 'src/given.d.ts'), GIVEN)
}

/** Writes each block as a module; answers how many there are. */
async function writeBlocks(folder) {
  let count = 0
  for (const document of await documents()) {
    const blocks = blocksOf(await read(document)).filter(({ language }) => language === 'ts')
    for (const { code } of blocks) {
      const place = FOREIGN.imports.test(code) ? FOREIGN.folder : 'src'
      const name = `${document.replaceAll(/\W/g, '-')}-${++count}.ts`
      await writeFile(join(folder, place, name), `${code}\nexport {}\n`)
    }
  }
  return count
}

async function checkTypes(folder) {
  for (const [resolution, module] of Object.entries(RESOLUTIONS)) {
    await compile(folder, resolution, 'src', options(resolution, module))
    process.stdout.write(`types under ${resolution}: strict, no skipLibCheck, none wrong\n`)
  }
  const { folder: place, skipLibCheck, types } = FOREIGN
  await compile(folder, place, place, { ...options('bundler', 'esnext'), skipLibCheck, types })
  process.stdout.write("types of blocks with OpenAI's client: none wrong\n")
}

async function compile(folder, name, place, compilerOptions) {
  const path = join(folder, `${name}.json`)
  await writeFile(path, JSON.stringify({ compilerOptions, include: [place] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-p', path], { cwd: folder })
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
  if (count === 0) throw new Error('the pages have no blocks of TypeScript')
  process.stdout.write(`${count} blocks of TypeScript from the pages\n`)
  await checkTypes(folder)
  await measure(folder)
} catch (error) {
  process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}${error.stack}\n`)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
