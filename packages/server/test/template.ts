import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { Kysely, PGliteDialect } from 'kysely'
import type { TestProject } from 'vitest/node'
import { migrate } from '../src/db/migrate.ts'
import type { Database } from '../src/db/schema.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** File that holds an empty, migrated PGlite: loading it takes a tenth of making one. */
    pgliteTemplate: string
  }
}

/** Makes the template once for the whole run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-template-'))
  const pglite = await PGlite.create()
  const db = new Kysely<Database>({ dialect: new PGliteDialect({ pglite }) })
  await migrate(db)
  const file = join(folder, 'pglite.tar')
  await writeFile(file, Buffer.from(await (await pglite.dumpDataDir('none')).arrayBuffer()))
  await db.destroy()
  project.provide('pgliteTemplate', file)
  return () => rm(folder, { recursive: true })
}
