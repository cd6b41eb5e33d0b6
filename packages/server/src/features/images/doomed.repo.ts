import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { StorageKind } from '../../ports/object-store.ts'
import type { StoredObject } from './images.repo.ts'

/** Longer than a batch takes; then another process may try what this one has left. */
const CLAIM_MINUTES = 10

/** Dooms the objects of all images of an account, in the transaction that removes their rows. */
export async function doomObjectsOfUser(tx: Tx, userId: string): Promise<void> {
  // A long history takes longer than a request's statement may.
  await sql`set local statement_timeout = 0`.execute(tx)
  await tx
    .insertInto('doomed_objects')
    .columns(['storage', 'object_key'])
    .expression((eb) =>
      eb.selectFrom('images').select(['storage', 'object_key']).where('user_id', '=', userId),
    )
    .execute()
}

/** The same for one generation; answers the objects. */
export async function doomObjectsOfGeneration(
  tx: Tx,
  userId: string,
  generationId: string,
): Promise<StoredObject[]> {
  return tx
    .insertInto('doomed_objects')
    .columns(['storage', 'object_key'])
    .expression((eb) =>
      eb
        .selectFrom('images')
        .select(['storage', 'object_key'])
        .where('user_id', '=', userId)
        .where('generation_id', '=', generationId),
    )
    .returning(['storage', 'object_key'])
    .execute()
}

export async function doomObjects(tx: Tx, objects: readonly StoredObject[]): Promise<void> {
  if (objects.length === 0) return
  const rows = objects.map(({ storage, object_key }) => ({ storage, object_key }))
  await tx.insertInto('doomed_objects').values(rows).execute()
}

/** By the database's clock, to its last digit. */
export async function preciseTime(db: Db): Promise<string> {
  const now = db.selectNoFrom(sql<string>`now()::text`.as('time'))
  return (await now.executeTakeFirstOrThrow()).time
}

export async function hasDoomed(db: Db, storage: StorageKind): Promise<boolean> {
  const query = db.selectFrom('doomed_objects').select('object_key').limit(1)
  return (await query.where('storage', '=', storage).executeTakeFirst()) !== undefined
}

/** Takes some that were due at the time for this process; nobody else takes them for a while. */
export async function claimDoomed(
  db: Db,
  storage: StorageKind,
  due: { at: string; limit: number },
): Promise<string[]> {
  const { rows } = await sql<{ object_key: string }>`
    update doomed_objects set retry_at = now() + make_interval(mins => ${CLAIM_MINUTES}::int)
    where storage = ${storage} and object_key in (
      select object_key from doomed_objects
      where storage = ${storage} and retry_at <= ${due.at}::timestamptz
      order by retry_at limit ${due.limit}::int for update skip locked
    ) returning object_key`.execute(db)
  return rows.map((row) => row.object_key)
}

export async function forgetDoomed(
  db: Db,
  storage: StorageKind,
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return
  await db
    .deleteFrom('doomed_objects')
    .where('storage', '=', storage)
    .where('object_key', 'in', keys)
    .execute()
}

/** Leaves them to whoever comes next. */
export async function releaseDoomed(
  db: Db,
  storage: StorageKind,
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return
  await db
    .updateTable('doomed_objects')
    .set({ retry_at: sql<Date>`now()` })
    .where('storage', '=', storage)
    .where('object_key', 'in', keys)
    .execute()
}
