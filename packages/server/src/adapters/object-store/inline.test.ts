import { expect, it } from 'vitest'
import { createTestDatabase } from '../../../test/harness.ts'
import { openPglite } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { listOf, objectOf, objectStoreContract } from '../../ports/object-store.contract.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'
import { createInlineObjectStore } from './inline.ts'

const openDatabase = () => openPglite({}, { onConnectionError: () => {} })

objectStoreContract('the store in the database', async () => {
  const { db, close } = await openDatabase()
  await migrate(db)
  return { store: createInlineObjectStore(db, 3), close }
})

it('lists what was put again as new as it is', async () => {
  await using database = await createTestDatabase()
  const { db } = database.handle
  const store = createInlineObjectStore(db)
  const object = objectOf(Buffer.from('x'))
  await store.put(object)
  await db
    .updateTable('inline_objects')
    .set({ modified_at: new Date(0) })
    .execute()
  await store.put(object)
  const [listed] = await listOf(store)
  expect(listed?.modifiedAt.getTime()).toBeGreaterThan(0)
})

it('says in its own error that its table is missing', async () => {
  const { db, close } = await openDatabase()
  const store = createInlineObjectStore(db)
  const failures = [
    store.check(),
    store.put(objectOf(Buffer.from('x'))),
    store.read('x.png'),
    store.delete('x.png'),
    listOf(store),
  ]
  for (const failure of failures) await expect(failure).rejects.toThrow(ObjectStoreError)
  await close()
})
