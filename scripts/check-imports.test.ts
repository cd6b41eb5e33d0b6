import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { checkImports, mask, parse } from './check-imports.ts'

const root = join(import.meta.dirname, '..')
const planted: string[] = []
afterEach(() => {
  for (const folder of planted.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A tree of sources below packages/server/src, or below packages/ where the path starts with `../../`. */
function plant(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'check-imports-'))
  planted.push(folder)
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, 'packages/server/src', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  return folder
}

const broken = (files: Record<string, string>) =>
  checkImports(plant(files)).map(({ file, line, rule }) => {
    return `${file.replace('packages/server/src/', '')}:${line} ${rule}`
  })

const use = (...specifiers: string[]) =>
  `${specifiers.map((specifier, i) => `import { a${i} } from '${specifier}'`).join('\n')}\nexport const x = 1\n`
const x = 'export const x = 1\n'
const generations = 'features/generations/generations'
const usage = 'features/usage/usage'

describe('red: each rule, planted', () => {
  it.each<[string, Record<string, string>, string]>([
    // 1: floors
    [
      'a port enters the kernel',
      { 'ports/a.ts': use('../kernel/b.ts'), 'kernel/b.ts': x },
      'ports/a.ts:1 floors',
    ],
    ['db enters a port', { 'db/a.ts': use('../ports/b.ts'), 'ports/b.ts': x }, 'db/a.ts:1 floors'],
    [
      'the kernel enters a feature',
      { 'kernel/a.ts': use(`../${usage}.service.ts`), [`${usage}.service.ts`]: x },
      'kernel/a.ts:1 floors',
    ],
    [
      'a feature enters http',
      { [`${usage}.service.ts`]: use('../../http/a.ts'), 'http/a.ts': x },
      `${usage}.service.ts:1 floors`,
    ],
    [
      'a feature enters the router, by type',
      { [`${usage}.service.ts`]: `import type { R } from '../../router.ts'\n${x}`, 'router.ts': x },
      `${usage}.service.ts:1 floors`,
    ],
    ['the router enters app', { 'router.ts': use('./app.ts'), 'app.ts': x }, 'router.ts:1 floors'],
    [
      'the checker enters the rules that it checks',
      { 'check/a.ts': use(`../${usage}.service.ts`), [`${usage}.service.ts`]: x },
      'check/a.ts:1 floors',
    ],
    [
      'the checker enters the kernel beside it',
      { 'check/a.ts': use('../kernel/b.ts'), 'kernel/b.ts': x },
      'check/a.ts:1 floors',
    ],
    [
      'http enters app beside it',
      { 'http/a.ts': use('../app.ts'), 'app.ts': x },
      'http/a.ts:1 floors',
    ],
    [
      'jobs enters http beside it',
      { 'jobs/a.ts': use('../http/a.ts'), 'http/a.ts': x },
      'jobs/a.ts:1 floors',
    ],
    ['http enters main', { 'http/a.ts': use('../main.ts'), 'main.ts': x }, 'http/a.ts:1 floors'],
    ['db enters ports', { 'db/a.ts': use('../ports/b.ts'), 'ports/b.ts': x }, 'db/a.ts:1 floors'],
    ['config enters shared', { 'config.ts': use('@nanobanana/shared') }, 'config.ts:1 floors'],
    ['config enters db', { 'config.ts': use('./db/a.ts'), 'db/a.ts': x }, 'config.ts:1 floors'],
    ['a file on no floor', { 'utils.ts': x }, 'utils.ts:1 floors'],
    [
      'source enters a test',
      { 'kernel/a.ts': use('../../test/harness.ts'), '../test/harness.ts': x },
      'kernel/a.ts:1 floors',
    ],
    [
      'through a dynamic import',
      { 'ports/a.ts': `${x}const b = await import('../kernel/b.ts')`, 'kernel/b.ts': x },
      'ports/a.ts:2 floors',
    ],
    [
      'through a re-export',
      { 'ports/a.ts': `${x}export type { B } from '../kernel/b.ts'`, 'kernel/b.ts': x },
      'ports/a.ts:2 floors',
    ],
    [
      'through an import type',
      { 'ports/a.ts': `${x}export type B = import('../kernel/b.ts').B`, 'kernel/b.ts': x },
      'ports/a.ts:2 floors',
    ],
    [
      'over several lines',
      { 'ports/a.ts': `${x}import {\n  b,\n  type C,\n} from '../kernel/b.ts'`, 'kernel/b.ts': x },
      'ports/a.ts:2 floors',
    ],
    // 2: adapters
    [
      'a feature enters an adapter',
      { [`${usage}.service.ts`]: use('../../adapters/codec/a.ts'), 'adapters/codec/a.ts': x },
      `${usage}.service.ts:1 adapters`,
    ],
    [
      'main enters an adapter',
      { 'main.ts': use('./adapters/codec/a.ts'), 'adapters/codec/a.ts': x },
      'main.ts:1 adapters',
    ],
    [
      "an adapter enters another port's",
      { 'adapters/codec/a.ts': use('../store/a.ts'), 'adapters/store/a.ts': x },
      'adapters/codec/a.ts:1 adapters',
    ],
    [
      'an adapter enters the kernel',
      { 'adapters/codec/a.ts': use('../../kernel/a.ts'), 'kernel/a.ts': x },
      'adapters/codec/a.ts:1 adapters',
    ],
    [
      'an adapter enters config',
      { 'adapters/codec/a.ts': use('../../config.ts'), 'config.ts': x },
      'adapters/codec/a.ts:1 adapters',
    ],
    [
      'an adapter takes a value of db/client',
      { 'adapters/queue/a.ts': use('../../db/client.ts'), 'db/client.ts': x },
      'adapters/queue/a.ts:1 adapters',
    ],
    [
      'an adapter enters db/migrate',
      {
        'adapters/queue/a.ts': `import type { M } from '../../db/migrate.ts'\n${x}`,
        'db/migrate.ts': x,
      },
      'adapters/queue/a.ts:1 adapters',
    ],
    // 3: features
    [
      'usage enters keys',
      {
        [`${usage}.service.ts`]: use('../keys/keys.service.ts'),
        'features/keys/keys.service.ts': x,
      },
      `${usage}.service.ts:1 features`,
    ],
    [
      'webhooks enters images beside it',
      {
        'features/webhooks/webhooks.service.ts': use('../images/images.service.ts'),
        'features/images/images.service.ts': x,
      },
      'features/webhooks/webhooks.service.ts:1 features',
    ],
    [
      "a feature enters another's repo",
      { [`${generations}.service.ts`]: use('../usage/usage.repo.ts'), [`${usage}.repo.ts`]: x },
      `${generations}.service.ts:1 features`,
    ],
    [
      'a feature without a place in the order',
      { 'features/billing/billing.service.ts': x },
      'features/billing/billing.service.ts:1 features',
    ],
    // 4: libraries
    [
      'kysely in a service',
      { [`${usage}.service.ts`]: use('kysely') },
      `${usage}.service.ts:1 libraries`,
    ],
    ['kysely/migration in main', { 'main.ts': use('kysely/migration') }, 'main.ts:1 libraries'],
    [
      'a kysely type in a port',
      { 'ports/a.ts': `import type { K } from 'kysely'\n${x}` },
      'ports/a.ts:1 libraries',
    ],
    [
      'tRPC in a service',
      { [`${usage}.service.ts`]: use('@trpc/server') },
      `${usage}.service.ts:1 libraries`,
    ],
    [
      'tRPC elsewhere in the kernel',
      { 'kernel/context.ts': use('@trpc/server/http') },
      'kernel/context.ts:1 libraries',
    ],
    [
      'trpc-to-openapi in http',
      { 'http/rest.ts': use('trpc-to-openapi') },
      'http/rest.ts:1 libraries',
    ],
    [
      'a value of trpc-to-openapi in the kernel',
      { 'kernel/procedures.ts': use('trpc-to-openapi') },
      'kernel/procedures.ts:1 libraries',
    ],
    [
      'a vendor outside its adapter',
      { 'http/files.ts': use('@aws-sdk/client-s3') },
      'http/files.ts:1 libraries',
    ],
    // 5: environment
    [
      'process.env in main',
      { 'main.ts': 'export const x = 1\nexport const y = process.env.PORT' },
      'main.ts:2 environment',
    ],
    [
      'env taken out of process',
      { 'main.ts': 'export const { env } = process' },
      'main.ts:1 environment',
    ],
    [
      'env imported from node:process',
      { 'main.ts': `import { env } from 'node:process'\n${x}` },
      'main.ts:1 environment',
    ],
    [
      'in another package',
      { '../../sdk/src/client.ts': 'export const y = process?.env' },
      'packages/sdk/src/client.ts:1 environment',
    ],
    // 6: circles and barrels
    [
      'a circle',
      { 'kernel/a.ts': use('./b.ts'), 'kernel/b.ts': use('./a.ts') },
      'kernel/a.ts:1 circles',
    ],
    [
      'a circle of three, by types',
      {
        'kernel/a.ts': use('./b.ts'),
        'kernel/b.ts': "import type { C } from './c.ts'\nexport const x = 1",
        'kernel/c.ts': "export type A = import('./a.ts').A",
      },
      'kernel/a.ts:1 circles',
    ],
    [
      'a circle in a test folder',
      { '../test/a.ts': use('./b.ts'), '../test/b.ts': use('./a.ts') },
      'packages/server/test/a.ts:1 circles',
    ],
    [
      'a barrel',
      {
        'features/usage/index.ts':
          "// all of it\nexport * from './usage.service.ts'\nexport { y } from './usage.repo.ts'\n",
      },
      'features/usage/index.ts:1 barrels',
    ],
    [
      'a barrel in two steps',
      { 'kernel/all.ts': "import { a } from './a.ts'\nexport { a }\n", 'kernel/a.ts': x },
      'kernel/all.ts:1 barrels',
    ],
    // 7: packages
    ['the server enters the SDK', { 'main.ts': use('@nanobanana/sdk') }, 'main.ts:1 packages'],
    [
      'the SDK enters the server',
      { '../../sdk/src/client.ts': use('@nanobanana/server') },
      'packages/sdk/src/client.ts:1 packages',
    ],
    [
      'the SDK enters the server by a path',
      { '../../sdk/src/client.ts': use('../../server/src/router.ts'), 'router.ts': x },
      'packages/sdk/src/client.ts:1 packages',
    ],
    [
      'the SDK takes zod',
      { '../../sdk/src/client.ts': use('node:fs', 'zod') },
      'packages/sdk/src/client.ts:2 packages',
    ],
    [
      'shared takes kysely',
      { '../../shared/src/keys.ts': use('kysely') },
      'packages/shared/src/keys.ts:1 packages',
    ],
    [
      'the emulator enters shared',
      { '../../gemini-emulator/src/a.ts': use('@nanobanana/shared') },
      'packages/gemini-emulator/src/a.ts:1 packages',
    ],
    [
      'a test of the emulator enters shared',
      { '../../gemini-emulator/test/a.test.ts': use('@nanobanana/shared') },
      'packages/gemini-emulator/test/a.test.ts:1 packages',
    ],
    [
      'the console enters shared',
      { '../../console/src/a.tsx': use('@nanobanana/shared') },
      'packages/console/src/a.tsx:1 packages',
    ],
    ['a package nobody named', { '../../extra/src/a.ts': x }, 'packages/extra/src/a.ts:1 packages'],
  ])('%s', (_, files, expected) => {
    expect(broken(files)).toEqual([expected])
  })
})

describe('green', () => {
  it('the whole walk down, with what each floor may use', () => {
    expect(
      broken({
        'main.ts': use('./app.ts', './config.ts', './http/server.ts', './db/client.ts'),
        'start.ts': use('./main.ts'),
        'app.ts': use('./adapters/codec/sharp.ts', './kernel/deps.ts', './config.ts'),
        'config.ts': 'export const port = process.env.PORT',
        'http/server.ts': use(
          '../router.ts',
          '../features/keys/keys.service.ts',
          'fastify',
          '@trpc/server',
        ),
        'http/openapi-document.ts': use('../router.ts', 'trpc-to-openapi'),
        'router.ts': use('./features/generations/generations.router.ts', '@trpc/server'),
        [`${generations}.router.ts`]: use('./generations.service.ts', '@trpc/server'),
        [`${generations}.service.ts`]: use(
          './generations.repo.ts',
          '../usage/usage.service.ts',
          '../images/images.service.ts',
        ),
        [`${generations}.repo.ts`]: use('kysely', '../../db/client.ts'),
        [`${usage}.service.ts`]: use('../../kernel/deps.ts', '@nanobanana/shared'),
        'features/images/images.service.ts': use('../../ports/codec.ts'),
        'features/keys/keys.service.ts': use('../usage/usage.service.ts'),
        'kernel/procedures.ts': `import type { OpenApiMeta } from 'trpc-to-openapi'\n${use('@trpc/server')}`,
        'kernel/deps.ts': use('../ports/codec.ts', '../db/client.ts'),
        'ports/codec.ts': use('../db/client.ts', '@nanobanana/shared'),
        'adapters/codec/sharp.ts': `import type { Tx } from '../../db/client.ts'\n${use('./limits.ts', '../shared-by-adapters.ts', '../../ports/codec.ts', '@nanobanana/shared', 'sharp')}`,
        'adapters/codec/limits.ts': x,
        'adapters/shared-by-adapters.ts': x,
        'db/client.ts': use('kysely', './migrations/index.ts'),
        'db/migrations/index.ts':
          "import * as initial from './0001_initial.ts'\nexport const migrations = { initial }\n",
        'db/migrations/0001_initial.ts': use('kysely'),
        '../../shared/src/index.ts': "export * from './keys.ts'\n",
        '../../shared/src/keys.ts': use('zod'),
        '../../sdk/src/index.ts': use('@nanobanana/shared', '@trpc/client/links', 'node:fs'),
        '../../console/src/main.tsx': use('@nanobanana/sdk', 'react'),
      }),
    ).toEqual([])
  })

  it('tests may enter adapters, other packages, libraries and the environment', () => {
    const text = `${use('../adapters/codec/a.ts', '@nanobanana/sdk', 'kysely')}export const y = process.env.CI`
    const files = { 'kernel/a.test.ts': text, '../test/a.test.ts': text, 'adapters/codec/a.ts': x }
    expect(broken(files)).toEqual([])
  })

  it('what only looks like an import', () => {
    const text = [
      "// import { a } from '../kernel/a.ts'",
      "/* export * from '../kernel/a.ts' */",
      'export const s = "import { a } from \'../kernel/a.ts\'"',
      "export const t = `import { a } from '../kernel/a.ts' ${s} process.env.HOME`",
      "export const r = /import { a } from '..\\/kernel\\/a.ts'/",
      "export const list = Array.from('../kernel/a.ts')",
      "export const o = { import: 1, from: '../kernel/a.ts', process: { environment: 1 } }",
    ].join('\n')
    expect(broken({ 'ports/a.ts': text, 'kernel/a.ts': x })).toEqual([])
  })

  it('this project', () => {
    expect(checkImports(root)).toEqual([])
  })
})

describe('the parser', () => {
  it('tells types from values', () => {
    const { imports } = parse(
      [
        "import type { A } from 'a'",
        "import { type B, type C } from 'b'",
        "import { type D, e } from 'c'",
        "import type from 'd'",
        "import f, * as g from 'e'",
        "import 'f'",
        "export type * from 'g'",
      ].join('\n'),
    )
    expect(
      imports.map(({ specifier, typeOnly, line }) => `${specifier} ${typeOnly} ${line}`),
    ).toEqual([
      'a true 1',
      'b true 2',
      'c false 3',
      'd false 4',
      'e false 5',
      'g true 7',
      'f false 6',
    ])
  })

  it('keeps an export list apart from the import after it', () => {
    const { imports, isBarrel } = parse("const a = 1\nexport { a }\nimport { b } from 'b'\n")
    expect(imports).toEqual([{ specifier: 'b', line: 3, typeOnly: false }])
    expect(isBarrel).toBe(false)
  })

  it('keeps length and lines, and finds its way out of templates and regular expressions', () => {
    const text =
      "const a = `x ${`y ${'}'}`} z`\nconst b = /[/'\"`]/.test(a) ? 4 / 2 : 'it\\'s'\nconst c = <p>don't</p>\n"
    const masked = mask(text)
    expect(masked).toHaveLength(text.length)
    expect(masked.split('\n')).toHaveLength(4)
    expect(masked).toContain('const b =')
    expect(masked).toContain('.test(a) ? 4 / 2 :')
    expect(masked).toContain('const c =')
    expect(masked).not.toContain('it')
  })
})

describe('the command', () => {
  const run = (folder: string) =>
    spawnSync(process.execPath, [join(root, 'scripts/check-imports.ts'), folder], {
      encoding: 'utf8',
    })

  it('prints one line per violation and exits 1', () => {
    const { status, stderr } = run(
      plant({ 'ports/a.ts': use('../kernel/b.ts', 'kysely'), 'kernel/b.ts': x }),
    )
    expect(stderr.trim().split('\n')).toEqual([
      'packages/server/src/ports/a.ts:1  floors  ports may not enter kernel, which is above it',
      'packages/server/src/ports/a.ts:2  libraries  kysely belongs in db/, *.repo.ts, adapters/, check/',
    ])
    expect(status).toBe(1)
  })

  it('exits 0 on a tree that keeps the rule', () => {
    expect(run(plant({ 'kernel/b.ts': x })).status).toBe(0)
  })
})
