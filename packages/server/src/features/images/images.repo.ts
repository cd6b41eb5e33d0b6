import { type Selectable, sql } from 'kysely'
import { type Db, transaction, type Tx } from '../../db/client.ts'
import type { ImagesTable } from '../../db/schema.ts'

export type ImageRow = Selectable<ImagesTable> & { expired: boolean }
export type NewImage = Omit<Selectable<ImagesTable>, 'created_at' | 'expires_at' | 'freed_at'>

const isExpired = sql<boolean>`coalesce(expires_at <= now(), false)`

/** `retentionSeconds` null: the image has no end of its own. */
export async function insertImage(
  tx: Tx,
  row: NewImage,
  retentionSeconds: number | null,
): Promise<ImageRow> {
  return tx
    .insertInto('images')
    .values({
      ...row,
      expires_at:
        retentionSeconds === null
          ? null
          : sql<Date>`now() + make_interval(secs => ${retentionSeconds}::int)`,
    })
    .returningAll()
    .returning(isExpired.as('expired'))
    .executeTakeFirstOrThrow()
}

const selectImages = (db: Db | Tx) =>
  db.selectFrom('images').selectAll().select(isExpired.as('expired'))

export async function listImages(
  db: Db,
  userId: string,
  generationIds: readonly string[],
): Promise<ImageRow[]> {
  if (generationIds.length === 0) return []
  return selectImages(db)
    .where('user_id', '=', userId)
    .where('generation_id', 'in', generationIds)
    .orderBy('generation_id')
    .orderBy('position')
    .execute()
}

/** An image by its id, if the account owns it and its generation was made in the mode. */
export async function findImage(
  db: Db,
  owner: { userId: string; mode: string | undefined },
  id: string,
): Promise<ImageRow | undefined> {
  let query = selectImages(db).where('user_id', '=', owner.userId).where('id', '=', id)
  const { mode } = owner
  if (mode !== undefined) {
    query = query.where(({ exists, selectFrom }) =>
      exists(
        selectFrom('generations')
          .select('generations.id')
          .whereRef('generations.id', '=', 'images.generation_id')
          .where('generations.mode', '=', mode as 'live' | 'test'),
      ),
    )
  }
  return query.executeTakeFirst()
}

export async function findImageByObjectKey(db: Db, key: string): Promise<ImageRow | undefined> {
  return selectImages(db).where('object_key', '=', key).executeTakeFirst()
}

export type StoredObject = Pick<ImageRow, 'storage' | 'object_key'>

/**
 * Of those keys under which an image lies, or a copy that is still needed, or an image whose generation
 * waits for others of its images to be stored, whether its time is over.
 */
export async function findExpiries(
  db: Db,
  keys: readonly string[],
): Promise<ReadonlyMap<string, boolean>> {
  const rows = await db
    .selectFrom('images')
    .select(['object_key', isExpired.as('expired')])
    .where('object_key', 'in', keys)
    .unionAll(
      db
        .selectFrom('input_images')
        .select(['object_key', sql<boolean>`false`.as('expired')])
        .where('object_key', 'in', keys),
    )
    .unionAll(
      db
        .selectFrom('spooled_images')
        .select(['object_key', sql<boolean>`false`.as('expired')])
        .where('object_key', 'in', keys),
    )
    .execute()
  return new Map(rows.map((row) => [row.object_key, row.expired]))
}

/** Lets the bytes of expired images count no more, before they are deleted; once, however often. */
export async function freeImages(db: Db, keys: readonly string[]): Promise<void> {
  const doomed = (tx: Tx) =>
    tx
      .selectFrom('images')
      .select('id')
      .where('object_key', 'in', keys)
      .where(isExpired)
      .where('freed_at', 'is', null)
      // Another sweep has those: to wait for it, holding others, could end in a deadlock.
      .forUpdate()
      .skipLocked()
  await transaction(db, (tx) =>
    tx
      .updateTable('images')
      .set({ freed_at: sql<Date>`now()` })
      .where('id', 'in', doomed(tx))
      .execute(),
  )
}

/** Bytes of an account's images, as the running transaction sees them. */
export async function selectStoredBytes(db: Db | Tx, userId: string): Promise<number> {
  const row = await db
    .selectFrom('stored_bytes')
    .select('bytes')
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return row?.bytes ?? 0
}

/** First of what goes with an account: its images then go without counting them down one by one. */
export async function deleteStoredBytes(tx: Tx, userId: string): Promise<void> {
  await tx.deleteFrom('stored_bytes').where('user_id', '=', userId).execute()
}

export async function databaseTime(db: Db): Promise<Date> {
  return (await db.selectNoFrom(sql<Date>`now()`.as('time')).executeTakeFirstOrThrow()).time
}

export async function databaseId(db: Db): Promise<string> {
  return (await db.selectFrom('database_identity').select('id').executeTakeFirstOrThrow()).id
}
