// Writes what is made from the router: the OpenAPI document and the SDK's types and methods.
// `node --conditions=source scripts/generate.ts`; with `--check` it writes nothing and exits 1 when a file is stale.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createOpenApiDocument } from '../packages/server/src/http/openapi.ts'
import { listProcedures } from '../packages/server/src/http/procedures.ts'
import { appRouter } from '../packages/server/src/router.ts'
import { GenerationEvent, WebhookMessage } from '../packages/shared/src/index.ts'
import { VERSION } from '../packages/server/src/kernel/version.ts'
import type { Documentation } from './generate/methods.ts'
import { generateSdk } from './generate/sdk.ts'

const ROOT = join(import.meta.dirname, '..')
const SDK_FOLDER = 'packages/sdk/src/generated'
const BASE_URL = 'http://127.0.0.1:3000'

/** Path from the root → text. */
export function generate(): Record<string, string> {
  const document = createOpenApiDocument(appRouter, { baseUrl: BASE_URL, version: VERSION })
  const sdk = generateSdk(listProcedures(appRouter), documentationOf, [
    GenerationEvent,
    WebhookMessage,
  ])
  return {
    'packages/server/openapi.json': `${JSON.stringify(document, null, 2)}\n`,
    ...Object.fromEntries(
      Object.entries(sdk).map(([name, text]) => [`${SDK_FOLDER}/${name}`, text]),
    ),
  }
}

function documentationOf(name: string): Documentation {
  const procedures: Record<string, unknown> = appRouter._def.procedures
  const procedure = procedures[name] as { _def: { meta?: { openapi?: Documentation } } } | undefined
  return procedure?._def.meta?.openapi ?? {}
}

/** Paths whose file is missing, differs, or is generated no more. */
export function findStale(files: Record<string, string>, root = ROOT): string[] {
  const differing = Object.keys(files).filter((path) => read(join(root, path)) !== files[path])
  return [...differing, ...leftovers(files, root)]
}

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function leftovers(files: Record<string, string>, root: string): string[] {
  const folder = join(root, SDK_FOLDER)
  const names = existsSync(folder) ? readdirSync(folder) : []
  return names.map((name) => `${SDK_FOLDER}/${name}`).filter((path) => files[path] === undefined)
}

function write(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), text)
  }
  for (const path of leftovers(files, ROOT)) rmSync(join(ROOT, path))
}

function check(files: Record<string, string>): void {
  const stale = findStale(files)
  for (const path of stale) console.error(`${path} is stale; run: pnpm generate`)
  if (stale.length > 0) process.exitCode = 1
  else console.log('generate: every file is up to date')
}

if (import.meta.main) {
  const files = generate()
  if (process.argv.includes('--check')) {
    check(files)
  } else {
    write(files)
    for (const path of Object.keys(files)) console.log(relative(process.cwd(), join(ROOT, path)))
  }
}
