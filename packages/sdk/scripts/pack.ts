// `pack.ts prepare` before packing: a manifest without what only the workspace needs, and the
// licence with those of the bundled code. `pack.ts restore` afterwards puts the workspace back.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = join(import.meta.dirname, '..')
const MANIFEST = join(PACKAGE, 'package.json')
const LICENSE = join(PACKAGE, 'LICENSE')
/** The build makes this folder anew, so no earlier copy can stand in it. */
const SAVED = join(PACKAGE, 'dist/workspace.json')
const BUNDLED = {
  'dist/index.js': ['@trpc/client', '@trpc/server'],
  'dist/cli.js': ['commander'],
}
const WORKSPACE_ONLY = ['devDependencies', 'scripts', 'publishConfig']

function prepare(): void {
  const text = readFileSync(MANIFEST, 'utf8')
  writeFileSync(SAVED, text)
  const manifest = JSON.parse(text) as Record<string, unknown>
  const entries = { ...manifest, ...(manifest['publishConfig'] as object) }
  const published = Object.entries(entries).filter(([name]) => !WORKSPACE_ONLY.includes(name))
  writeFileSync(MANIFEST, `${JSON.stringify(Object.fromEntries(published), null, 2)}\n`)
  writeFileSync(LICENSE, licenses())
}

function licenses(): string {
  const own = readFileSync(join(PACKAGE, '../../LICENSE'), 'utf8')
  const theirs = Object.entries(BUNDLED).flatMap(([file, names]) =>
    names.map((name) => {
      const text = readFileSync(join(PACKAGE, 'node_modules', name, 'LICENSE'), 'utf8')
      return `\n---\n\n${file} contains code of ${name}:\n\n${text}`
    }),
  )
  return own + theirs.join('')
}

function restore(): void {
  renameSync(SAVED, MANIFEST)
  rmSync(LICENSE)
}

const [command] = process.argv.slice(2)
if (command === 'prepare') prepare()
else if (command === 'restore') restore()
else throw new Error('usage: pack.ts prepare|restore')
