import { expect, it } from 'vitest'
import { openPglite } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { objectOf, objectStoreContract } from '../../ports/object-store.contract.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'
import { createInlineObjectStore } from './inline.ts'

const openDatabase = () => openPglite({}, { onConnectionError: () => {} })

objectStoreContract('the store in the database', async () => {
  const { db, close } = await openDatabase()
  await migrate(db)
  return { store: createInlineObjectStore(db), close }
})

it('says in its own error that its table is missing', async () => {
  const { db, close } = await openDatabase()
  const store = createInlineObjectStore(db)
  const failures = [
    store.check(),
    store.put(objectOf(Buffer.from('x'))),
    store.read('x.png'),
    store.delete('x.png'),
  ]
  for (const failure of failures) await expect(failure).rejects.toThrow(ObjectStoreError)
  await close()
})
