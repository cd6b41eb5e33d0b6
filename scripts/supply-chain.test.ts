// SUP-1 and SUP-3 as far as files tell; what only pnpm can show is in tools/supply-chain/check.sh.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** `name@version` of every package in a lockfile. */
function locked(lockfile: string): { name: string; version: string; entry: string }[] {
  const section = /^packages:\n([\s\S]*?)^snapshots:/m.exec(lockfile)?.[1] ?? ''
  const entries = section.matchAll(
    /^ {2}'?((?:@[^@/\s]+\/)?[^@/\s]+)@([^:'\s]+)'?:\n((?: {4}.*\n)*)/gm,
  )
  return [...entries].map(([, name = '', version = '', entry = '']) => ({ name, version, entry }))
}

function atLeast(version: string, floor: string): boolean {
  const [have, want] = [version, floor].map((text) =>
    text.split('.').map((part) => parseInt(part, 10)),
  )
  for (const [i, part] of want!.entries()) {
    if ((have![i] ?? 0) !== part) return (have![i] ?? 0) > part
  }
  // 5.12.1-rc.1 comes before 5.12.1.
  return !version.includes('-')
}

describe('SUP-3: no version below its floor', () => {
  const packages = locked(read('pnpm-lock.yaml'))

  it.each([
    ['fastify', '5.12.1'],
    ['@trpc/server', '11.8.0'],
    ['kysely', '0.28.17'],
    ['jose', '6.0.0'],
    ['bcrypt', '6.0.0'],
    ['sharp', '0.32.4'],
  ])('%s ≥ %s', (name, floor) => {
    const versions = packages.filter((one) => one.name === name).map((one) => one.version)
    expect(versions).not.toEqual([])
    expect(versions.filter((version) => !atLeast(version, floor))).toEqual([])
  })

  it('compares numbers, not text', () => {
    expect(atLeast('0.28.17', '0.28.17')).toBe(true)
    expect(atLeast('0.28.9', '0.28.17')).toBe(false)
    expect(atLeast('0.29.0', '0.28.17')).toBe(true)
    expect(atLeast('11.10.0', '11.8.0')).toBe(true)
    expect(atLeast('5.12.1-rc.1', '5.12.1')).toBe(false)
  })
})

describe.each([
  ['the service', '', ['node', 'bcrypt']],
  ['the tools of CI', 'tools/', []],
  ['what the SDK is tried in', 'tools/runtimes/', []],
])('SUP-1: how %s is installed', (_, folder, mayBuild) => {
  const settings = read(`${folder}pnpm-workspace.yaml`)
  const setting = (name: string) => new RegExp(`^${name}: (.+)$`, 'm').exec(settings)?.[1]

  it('waits a day for a new release, strictly', () => {
    expect(Number(setting('minimumReleaseAge'))).toBeGreaterThanOrEqual(1440)
    expect(setting('minimumReleaseAgeStrict')).toBe('true')
    expect(settings).not.toContain('minimumReleaseAgeExclude')
  })

  it('refuses a downgrade of trust and dependencies from anywhere but the registry', () => {
    expect(setting('trustPolicy')).toBe('no-downgrade')
    expect(settings).not.toContain('trustPolicyExclude')
    expect(setting('blockExoticSubdeps')).toBe('true')
  })

  it('runs the install scripts of the named packages alone', () => {
    const block = /^allowBuilds:\n((?: {2}.*\n?)*)/m.exec(settings)?.[1] ?? ''
    const allowed = [...block.matchAll(/^ {2}'?([^':]+)'?: true$/gm)].map(([, name]) => name)
    expect(allowed).toEqual(mayBuild)
    expect(setting('strictDepBuilds')).toBe('true')
    expect(settings).not.toContain('dangerouslyAllowAllBuilds')
  })

  it('holds every package by its hash, and names no host', () => {
    const lockfile = read(`${folder}pnpm-lock.yaml`)
    const packages = locked(lockfile)
    expect(packages.length).toBeGreaterThan(4)
    expect(packages.filter(({ entry }) => !entry.includes('integrity: sha512-'))).toEqual([])
    expect(lockfile).not.toMatch(/https?:\/\//)
  })
})

describe('IN-10: the lint refuses text in SQL', () => {
  it('reports each planted line and no other', () => {
    const fixture = read('scripts/lint/fixtures/raw-sql.ts')
    const planted = fixture
      .split('\n')
      .flatMap((line, i) => (line.endsWith('// refused') ? [i + 1] : []))
    expect(planted.length).toBeGreaterThan(5)

    // A copy elsewhere, under the project's own settings less its ignored paths, which hold the fixture.
    const folder = mkdtempSync(join(tmpdir(), 'lint-fixture-'))
    try {
      const settings = JSON.parse(read('.oxlintrc.json'))
      expect(settings.rules['house/no-raw-sql']).toBe('error')
      const jsPlugins = settings.jsPlugins.map((path: string) => join(root, path))
      const own = { ...settings, jsPlugins, ignorePatterns: [] }
      writeFileSync(join(folder, '.oxlintrc.json'), JSON.stringify(own))
      copyFileSync(join(root, 'scripts/lint/fixtures/raw-sql.ts'), join(folder, 'raw-sql.ts'))

      const oxlint = join(root, 'node_modules/oxlint/bin/oxlint')
      const lint = spawnSync(process.execPath, [oxlint, '--format=json', 'raw-sql.ts'], {
        cwd: folder,
        encoding: 'utf8',
      })
      const { diagnostics } = JSON.parse(lint.stdout) as {
        diagnostics: { code: string; labels: { span: { line: number } }[] }[]
      }
      const lines = diagnostics
        .filter(({ code }) => code === 'house(no-raw-sql)')
        .map(({ labels }) => labels[0]!.span.line)
      expect(lines.toSorted((a, b) => a - b)).toEqual(planted)
      expect(lint.status).toBe(1)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('SUP-1: what the Next.js example is installed from', () => {
  const lockfile = JSON.parse(read('examples/next-app/package-lock.json')) as {
    packages: Record<string, { integrity?: string; resolved?: string }>
  }
  const { '': itself, ...packages } = lockfile.packages

  it('is held by hash and names no host', () => {
    expect(itself).toBeDefined()
    expect(Object.keys(packages)).toContain('node_modules/next')
    const loose = Object.entries(packages).filter(
      ([, { integrity, resolved }]) => resolved !== undefined || !integrity?.startsWith('sha512-'),
    )
    expect(loose).toEqual([])
  })
})
