import { sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { expect, test } from 'vitest'
import { plantRows } from '../../../test/stored-objects.ts'
import { openPglite } from '../client.ts'
import { migrations } from './index.ts'

test('what was stored before the counter is counted, but for bytes that were swept', async () => {
  const { db, close } = await openPglite({}, { onConnectionError: () => {} })
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
    await migrator.migrateTo('0001_initial')
    await plantRows(db, ['u/a/1.png', 'u/a/2.png'])
    await plantRows(db, ['u/b/3.png', 'u/b/4.png', 'u/b/5.png'], { storage: 'inline' })
    await sql`
      update images set expires_at = now() where object_key in ('u/b/3.png', 'u/b/4.png')`.execute(
      db,
    )
    await sql`
      insert into inline_objects (key, content_type, bytes)
      values ('u/b/4.png', 'image/png', 'x'), ('u/b/5.png', 'image/png', 'x')`.execute(db)
    await migrator.migrateToLatest()
    const counters = async () =>
      (await db.selectFrom('stored_bytes').select('bytes').execute()).map(({ bytes }) => bytes)
    expect(await counters()).toEqual([2, 2])
    await sql`delete from generations`.execute(db)
    expect(await counters()).toEqual([0, 0])
  } finally {
    await close()
  }
})
