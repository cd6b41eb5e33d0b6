// The import rule of ARCHITECTURE.md as a check: `node scripts/check-imports.ts [root]`.
// One line per violation, `file:line  rule  why`; exit 1 when there is one.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'

// ── The rule, as data. Server paths are relative to packages/server/src; a trailing slash means a folder. ──

const SCOPE = '@nanobanana/'

/** Points 1 and 2. A room may enter every room of a lower floor, never one beside or above it. */
const ROOMS: Record<string, { floor: number; files: string[] }> = {
  main: { floor: 7, files: ['main.ts', 'start.ts', 'service.ts', 'worker.ts', 'commands/'] },
  app: { floor: 6, files: ['app.ts', 'app/'] },
  http: { floor: 6, files: ['http/'] },
  jobs: { floor: 6, files: ['jobs/'] },
  mcp: { floor: 6, files: ['mcp/'] },
  router: { floor: 5, files: ['router.ts'] },
  features: { floor: 4, files: ['features/'] },
  kernel: { floor: 3, files: ['kernel/'] },
  // Beside the kernel and below the features: it must not trust what it checks.
  check: { floor: 3, files: ['check/'] },
  ports: { floor: 2, files: ['ports/'] },
  db: { floor: 1, files: ['db/'] },
  config: { floor: 0, files: ['config.ts', 'config/'] },
}
const ADAPTERS = {
  // One folder per port, free inside; a file directly in it is for all adapters.
  folder: 'adapters/',
  importers: ['app.ts', 'app/'],
  enters: ['ports/'],
  // For an adapter that joins a transaction; what it does there comes in as an argument.
  entersForTypes: ['db/client.ts', 'db/schema.ts'],
}
const IMPORTS_NOTHING_OF_OURS = ['config.ts', 'config/']

/** Point 3. A feature enters those on later lines, by their service; one line holds features that do not meet. */
const FEATURES = [
  ['sweeping'],
  ['accounts'],
  ['generations'],
  ['webhooks', 'images'],
  ['keys'],
  ['auth'],
  ['usage'],
]

/** Point 4, and one adapter per vendor. `*` stands for any part of a path; `types` may import the types only. */
const LIBRARIES: { names: string[]; files: string[]; types?: string[] }[] = [
  { names: ['kysely'], files: ['db/', '*.repo.ts', 'adapters/', 'check/'] },
  {
    names: ['@trpc/server'],
    files: ['kernel/procedures.ts', 'kernel/procedures/', '*.router.ts', 'router.ts', 'http/'],
  },
  { names: ['trpc-to-openapi'], files: ['http/openapi*'], types: ['kernel/'] },
  { names: ['prom-client'], files: ['kernel/metrics.ts'] },
  { names: ['@google/genai', '@aws-sdk/*', 'ioredis', 'redis', 'pg-boss'], files: ['adapters/'] },
]

/** Point 5. The same in every package; the SDK's command line has its own. */
const READS_ENVIRONMENT = ['config.ts', 'config/', 'cli/config.ts']

/** Point 6. Circles need no table. */
const BARRELS = ['index.ts']

/** Point 7. `libraries` where a package's other imports are limited too; `tests: 'free'` where its tests may enter others. */
const PACKAGES: Record<string, { ours: string[]; libraries?: string[]; tests?: 'free' }> = {
  server: { ours: ['shared'], tests: 'free' },
  shared: { ours: [], libraries: ['zod'] },
  sdk: { ours: ['shared'], libraries: ['@trpc/client', 'commander'], tests: 'free' },
  'gemini-emulator': { ours: [] },
  console: { ours: ['sdk'], tests: 'free' },
}

// ── Reading the source ──

export interface Violation {
  file: string
  line: number
  rule: string
  why: string
}

interface Import {
  specifier: string
  line: number
  typeOnly: boolean
}

interface Source {
  /** From the root, with forward slashes. */
  path: string
  package: string
  /** From the package's src folder; undefined outside it. */
  inSrc: string | undefined
  isTest: boolean
  imports: Import[]
  readsEnvironment: number[]
  isBarrel: boolean
}

/** Stands where an expression begins, so a slash there opens a regular expression. */
const BEFORE_REGEX =
  /(?:^|[=(,:[!&|?;{+\-*%~^>]|\b(?:return|typeof|case|in|of|do|else|void|await|yield))\s*$/

/** The same text, same length, with comments and the insides of strings, templates and regular expressions blanked. */
export function mask(text: string): string {
  const out = text.split('')
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' '
  }
  /** Blanks from `start` on; returns the index after the closing quote, or undefined if the line ends first. */
  const literal = (start: number, close: string): number | undefined => {
    let inClass = false
    for (let i = start + 1; i < text.length && text[i] !== '\n'; i++) {
      if (text[i] === '\\') i++
      else if (close === '/' && text[i] === '[') inClass = true
      else if (close === '/' && text[i] === ']') inClass = false
      else if (text[i] === close && !inClass) {
        blank(start + 1, i)
        return i + 1
      }
    }
    return undefined
  }
  const template = (start: number): number => {
    let i = start + 1
    while (i < text.length && text[i] !== '`') {
      if (text.startsWith('${', i)) {
        i = code(i + 2, true)
        continue
      }
      const width = text[i] === '\\' ? 2 : 1
      blank(i, Math.min(i + width, text.length))
      i += width
    }
    return i + 1
  }
  const code = (start: number, inTemplate: boolean): number => {
    let depth = 0
    let i = start
    while (i < text.length) {
      const c = text[i]
      if (text.startsWith('//', i) || text.startsWith('/*', i)) {
        const end = text[i + 1] === '/' ? text.indexOf('\n', i) : text.indexOf('*/', i + 2) + 2
        const stop = end < i + 2 ? text.length : end
        blank(i, stop)
        i = stop
      } else if (c === "'" || c === '"') {
        i = literal(i, c) ?? i + 1
      } else if (c === '`') {
        i = template(i)
      } else if (c === '/' && BEFORE_REGEX.test(out.slice(Math.max(0, i - 40), i).join(''))) {
        i = literal(i, '/') ?? i + 1
      } else {
        if (c === '{') depth++
        if (c === '}' && depth-- === 0 && inTemplate) return i + 1
        i++
      }
    }
    return i
  }
  code(0, false)
  return out.join('')
}

const CLAUSE = String.raw`(?:(?!\b(?:import|export)\b)[\w$\s{},*])*?`
const FROM = new RegExp(
  String.raw`(?<![\w$.])(import|export)(\s+type(?=[\s{*])(?!\s+from\b))?(?=[\s{*])(${CLAUSE})\bfrom\s*(['"])`,
  'g',
)
const BARE = /(?<![\w$.])import\s*(['"])/g
const CALL = /(typeof\s+)?(?<![\w$.])(?:import|require)\s*\(\s*(['"`])/g
const ENVIRONMENT =
  /(?<![\w$.])(?:globalThis\s*\.\s*)?process\s*(?:\?\.|\.)\s*env\b|\benv\b[^{}=;]*\}\s*=\s*process\b/g

/** Every name of `{ type A, type B }` is a type. */
function namesTypesOnly(clause: string): boolean {
  const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]?.split(',') ?? []
  const given = names.map((name) => name.trim()).filter((name) => name !== '')
  return given.length > 0 && given.every((name) => /^type\s+\S/.test(name))
}

export function parse(text: string): Pick<Source, 'imports' | 'readsEnvironment' | 'isBarrel'> {
  const masked = mask(text)
  const lineAt = (index: number) => masked.slice(0, index).split('\n').length
  const specifierAt = (quote: number) => {
    const close = masked.indexOf(masked[quote] ?? '', quote + 1)
    return { specifier: text.slice(quote + 1, close), end: close + 1 }
  }
  const imports: Import[] = []
  const readsEnvironment = [...masked.matchAll(ENVIRONMENT)].map((found) => lineAt(found.index))
  let reexports = 0
  let rest = masked
  const found = (match: RegExpMatchArray, typeOnly: boolean) => {
    const start = match.index ?? 0
    const { specifier, end } = specifierAt(start + match[0].length - 1)
    imports.push({ specifier, line: lineAt(start), typeOnly })
    return {
      specifier,
      cut: () => (rest = rest.slice(0, start) + ' '.repeat(end - start) + rest.slice(end)),
    }
  }
  for (const match of masked.matchAll(FROM)) {
    const [, keyword, type, clause = ''] = match
    const { specifier, cut } = found(match, type !== undefined || namesTypesOnly(clause))
    cut()
    if (keyword === 'export') reexports++
    if (/^(?:node:)?process$/.test(specifier) && /\benv\b/.test(clause)) {
      readsEnvironment.push(lineAt(match.index))
    }
  }
  for (const match of masked.matchAll(BARE)) found(match, false).cut()
  for (const match of masked.matchAll(CALL)) found(match, match[1] !== undefined)
  // `import { a } from './a.ts'; export { a }` is a barrel in two steps.
  const own = rest.replace(/(?<![\w$.])export\s+(?:type\s*)?\{[^}]*\}/g, '')
  const exportsSomething = reexports > 0 || own !== rest
  const isBarrel = imports.length > 0 && exportsSomething && own.replace(/[\s;]/g, '') === ''
  return { imports, readsEnvironment, isBarrel }
}

function readSources(root: string): Source[] {
  const packages = join(root, 'packages')
  const sources: Source[] = []
  for (const name of readdirSync(packages)) {
    for (const folder of ['src', 'test']) {
      const base = join(packages, name, folder)
      if (!existsSync(base)) continue
      for (const entry of readdirSync(base, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/(?<!\.d)\.[cm]?tsx?$/.test(entry.name)) continue
        const file = join(entry.parentPath, entry.name)
        const inFolder = slashes(relative(base, file))
        sources.push({
          path: slashes(relative(root, file)),
          package: name,
          inSrc: folder === 'src' ? inFolder : undefined,
          isTest: folder === 'test' || /\.test(?:-d)?\.tsx?$/.test(entry.name),
          ...parse(readFileSync(file, 'utf8')),
        })
      }
    }
  }
  return sources.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

// ── Where an import leads ──

type Target =
  | { kind: 'ours'; package: string; path: string; source: Source | undefined }
  | { kind: 'library'; name: string }

const slashes = (path: string) => path.replaceAll('\\', '/')

function resolver(root: string, sources: Source[]) {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  return (from: Source, specifier: string): Target => {
    if (specifier.startsWith('.')) {
      const path = slashes(relative(root, resolve(root, dirname(from.path), specifier)))
      const candidates = [
        path,
        path.replace(/\.([cm]?)js(x?)$/, '.$1ts$2'),
        `${path}.ts`,
        `${path}/index.ts`,
      ]
      const hit = candidates.find((candidate) => byPath.has(candidate)) ?? path
      return { kind: 'ours', package: hit.split('/')[1] ?? '', path: hit, source: byPath.get(hit) }
    }
    if (specifier.startsWith(SCOPE)) {
      const name = specifier.slice(SCOPE.length).split('/')[0] ?? ''
      const path = entryOf(root, name, specifier.slice(SCOPE.length + name.length))
      return { kind: 'ours', package: name, path, source: byPath.get(path) }
    }
    const parts = specifier.split('/')
    return { kind: 'library', name: parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/') }
  }
}

/** The `source` condition of a package's exports; a package without one has its src/index.ts. */
function entryOf(root: string, name: string, subpath: string): string {
  const manifest = join(root, 'packages', name, 'package.json')
  const exports = existsSync(manifest)
    ? JSON.parse(readFileSync(manifest, 'utf8')).exports
    : undefined
  const entry: string = exports?.[`.${subpath}`]?.source ?? './src/index.ts'
  return `packages/${name}/${entry.replace('./', '')}`
}

// ── The seven points ──

type Report = (line: number, rule: string, why: string) => void

/** `db/` a folder, `main.ts` a file, `*.repo.ts` a pattern. */
function within(path: string, patterns: string[]): boolean {
  return patterns.some((pattern) => {
    if (pattern.includes('*')) {
      const escaped = pattern.split('*').map((part) => part.replaceAll('.', '\\.'))
      return new RegExp(`^${escaped.join('.*')}${pattern.endsWith('*') ? '' : '$'}`).test(path)
    }
    return pattern.endsWith('/') ? path.startsWith(pattern) : path === pattern
  })
}

const roomOf = (inSrc: string) =>
  Object.keys(ROOMS).find((name) => within(inSrc, ROOMS[name]?.files ?? []))

function checkFloors(from: string, to: string, { line, typeOnly }: Import, report: Report): void {
  const isAdapter = from.startsWith(ADAPTERS.folder)
  if (to.startsWith(ADAPTERS.folder)) {
    const [, port, ...inside] = to.split('/')
    const isShared = inside.length === 0
    if (isAdapter) {
      if (isShared || port === from.split('/')[1]) return
      report(line, 'adapters', `an adapter does not enter another port's, so not ${to}`)
    } else if (!within(from, ADAPTERS.importers)) {
      const importers = ADAPTERS.importers.join(', ')
      report(line, 'adapters', `only ${importers} and tests import ${to}; take the port from Deps`)
    }
    return
  }
  if (isAdapter) {
    if (within(to, ADAPTERS.enters)) return
    if (within(to, ADAPTERS.entersForTypes)) {
      if (!typeOnly) report(line, 'adapters', `an adapter takes only types from ${to}`)
      return
    }
    report(line, 'adapters', `an adapter enters ${ADAPTERS.enters.join(', ')} alone, not ${to}`)
    return
  }
  const [above, below] = [roomOf(from), roomOf(to)]
  if (above === undefined || below === undefined || above === below) return
  const [high, low] = [ROOMS[above]?.floor ?? 0, ROOMS[below]?.floor ?? 0]
  if (low >= high) {
    report(
      line,
      'floors',
      `${above} may not enter ${below}, which is ${low > high ? 'above' : 'beside'} it`,
    )
  }
}

const featureOf = (inSrc: string) => /^features\/([^/]+)\//.exec(inSrc)?.[1]
const rankOf = (feature: string) => FEATURES.findIndex((line) => line.includes(feature))

function checkFeatures(from: string, to: string, { line }: Import, report: Report): void {
  const [own, other] = [featureOf(from), featureOf(to)]
  if (own === undefined || other === undefined || own === other) return
  if (rankOf(own) >= rankOf(other)) {
    const order = FEATURES.map((names) => names.join(', ')).join(' → ')
    report(line, 'features', `${own} may not enter ${other}: ${order}`)
  } else if (to !== `features/${other}/${other}.service.ts`) {
    report(line, 'features', `enter ${other} by ${other}.service.ts, not ${to}`)
  }
}

function checkLibrary(
  from: string,
  name: string,
  { line, typeOnly }: Import,
  report: Report,
): void {
  for (const { names, files, types = [] } of LIBRARIES) {
    if (!within(name, names) || within(from, files)) continue
    if (typeOnly && within(from, types)) continue
    const alsoTypes = types.length > 0 ? `, its types also in ${types.join(', ')}` : ''
    report(line, 'libraries', `${name} belongs in ${files.join(', ')}${alsoTypes}`)
  }
}

function checkPackages(from: Source, target: Target, { line }: Import, report: Report): void {
  const rule = PACKAGES[from.package]
  if (rule === undefined || (from.isTest && rule.tests === 'free')) return
  if (target.kind === 'ours') {
    if (target.package !== from.package && !rule.ours.includes(target.package)) {
      const allowed = rule.ours.length > 0 ? `only ${rule.ours.join(', ')}` : 'nothing of ours'
      report(line, 'packages', `${from.package} may import ${allowed}, not ${target.package}`)
    }
  } else if (rule.libraries && !from.isTest && !rule.libraries.includes(target.name)) {
    if (target.name.startsWith('node:') || builtinModules.includes(target.name)) return
    report(
      line,
      'packages',
      `${from.package} may import ${rule.libraries.join(', ')}, not ${target.name}`,
    )
  }
}

function checkFile(from: Source, find: ReturnType<typeof resolver>, report: Report): void {
  const own = from.inSrc
  const isServer = from.package === 'server' && own !== undefined && !from.isTest
  if (!PACKAGES[from.package])
    report(1, 'packages', `name ${from.package} in PACKAGES of scripts/check-imports.ts`)
  if (isServer && !own.startsWith(ADAPTERS.folder) && roomOf(own) === undefined) {
    report(
      1,
      'floors',
      'this file is on no floor; move it, or name it in ROOMS of scripts/check-imports.ts',
    )
  }
  const feature = isServer ? featureOf(own) : undefined
  if (feature !== undefined && rankOf(feature) < 0) {
    report(1, 'features', `${feature} has no place in the order of features`)
  }
  if (own !== undefined && from.isBarrel && !within(own, BARRELS)) {
    report(1, 'barrels', "only a package's index.ts may consist of re-exports")
  }
  if (own !== undefined && !from.isTest && !within(own, READS_ENVIRONMENT)) {
    for (const line of from.readsEnvironment)
      report(line, 'environment', 'process.env is read in config.ts alone')
  }
  for (const one of from.imports) {
    const target = find(from, one.specifier)
    checkPackages(from, target, one, report)
    if (!from.isTest && target.kind === 'ours' && target.source?.isTest) {
      report(one.line, 'floors', `${target.path} is for tests`)
    }
    if (!isServer) continue
    if (target.kind === 'library') {
      checkLibrary(own, target.name, one, report)
    } else if (
      within(own, IMPORTS_NOTHING_OF_OURS) &&
      !within(target.source?.inSrc ?? '', IMPORTS_NOTHING_OF_OURS)
    ) {
      report(one.line, 'floors', `config imports nothing of ours, so not ${one.specifier}`)
    } else if (target.package === 'server') {
      const to = target.path.replace('packages/server/src/', '')
      checkFloors(own, to, one, report)
      checkFeatures(own, to, one, report)
    }
  }
}

/** One violation per circle: from each file the shortest way back to itself, told once. */
function checkCircles(sources: Source[], find: ReturnType<typeof resolver>): Violation[] {
  const arrows = new Map<string, Map<string, number>>()
  for (const source of sources) {
    const out = new Map<string, number>()
    for (const { specifier, line } of source.imports) {
      const target = find(source, specifier)
      if (target.kind === 'ours' && target.source && !out.has(target.path))
        out.set(target.path, line)
    }
    arrows.set(source.path, out)
  }
  const told = new Set<string>()
  const violations: Violation[] = []
  for (const start of arrows.keys()) {
    const circle = wayBack(arrows, start)
    if (circle === undefined || circle.some((path) => told.has(path))) continue
    for (const path of circle) told.add(path)
    const line = arrows.get(start)?.get(circle[1] ?? start) ?? 1
    violations.push({ file: start, line, rule: 'circles', why: [...circle, start].join(' → ') })
  }
  return violations
}

function wayBack(arrows: Map<string, Map<string, number>>, start: string): string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    for (const next of arrows.get(at)?.keys() ?? []) {
      if (next === start) {
        const way = [at]
        for (let step = at; step !== start; way.unshift(step)) step = cameFrom.get(step) ?? start
        return way
      }
      if (cameFrom.has(next)) continue
      cameFrom.set(next, at)
      queue.push(next)
    }
  }
  return undefined
}

export function checkImports(root: string): Violation[] {
  const sources = readSources(root)
  const find = resolver(root, sources)
  const violations = checkCircles(sources, find)
  for (const source of sources) {
    checkFile(source, find, (line, rule, why) =>
      violations.push({ file: source.path, line, rule, why }),
    )
  }
  return violations
}

if (import.meta.main) {
  const root = process.argv[2] ?? join(import.meta.dirname, '..')
  const violations = checkImports(root)
  for (const { file, line, rule, why } of violations)
    console.error(`${file}:${line}  ${rule}  ${why}`)
  if (violations.length > 0) process.exitCode = 1
  else console.log('imports: the rule of ARCHITECTURE.md holds')
}
