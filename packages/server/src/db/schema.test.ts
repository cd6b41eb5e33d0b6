import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../test/harness.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

test('every foreign key starts an index, or a deletion would read the whole table', async () => {
  const { rows } = await sql<{ column: string; indexed: boolean }>`
    select c.conrelid::regclass || '.' || a.attname as column, exists (
      select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = a.attnum
    ) as indexed
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.contype = 'f'`.execute(database.handle.db)
  expect(rows.length).toBeGreaterThan(5)
  expect(rows.filter(({ indexed }) => !indexed)).toEqual([])
})

test('the look for generations of a deleted key takes the index', async () => {
  const { db } = database.handle
  // Tables are empty here, where reading all of one is the cheapest.
  const plan = await db.transaction().execute(async (tx) => {
    await sql`set local enable_seqscan = off`.execute(tx)
    await sql`set local plan_cache_mode = force_generic_plan`.execute(tx)
    await sql`prepare look (uuid) as
      select 1 from only generations x where $1 operator(pg_catalog.=) key_id for key share of x`.execute(
      tx,
    )
    const { rows } = await sql`explain execute look (gen_random_uuid())`.execute(tx)
    await sql`deallocate look`.execute(tx)
    return JSON.stringify(rows)
  })
  expect(plan).toContain('generations_key')
})
