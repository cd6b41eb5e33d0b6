import { sql } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { StoredResult } from '../../db/schema.ts'
import type { StorageKind } from '../../ports/object-store.ts'
import type { NewRow } from '../images/images.service.ts'
import type { GenerationRow } from './generations.repo.ts'
import type { Lease, Run } from './runs.repo.ts'

/** What waits for its store. */
export interface Spooled {
  images: number
  bytes: number
  /** Seconds since the first of them began to wait; 0 where nothing does. */
  oldestSeconds: number
}

export async function countSpooled(db: Db | Tx): Promise<Spooled> {
  const { rows } = await sql<Spooled>`
    select count(*)::int as images, coalesce(sum(i.bytes), 0)::bigint as bytes,
      coalesce(extract(epoch from now() - min(s.created_at)), 0)::float8 as "oldestSeconds"
    from spooled_images i
    join spooled_generations s using (generation_id)
    where i.body is not null`.execute(db)
  return rows[0] ?? { images: 0, bytes: 0, oldestSeconds: 0 }
}

const secondsFromNow = (seconds: number) =>
  sql<Date>`now() + make_interval(secs => ${seconds}::float8)`

/** An image of a generation that waits; `body` undefined: it rests in the store. */
export interface NewSpooledImage {
  readonly row: NewRow
  readonly body: Uint8Array | undefined
}

export async function insertSpooled(
  tx: Tx,
  generationId: string,
  { result, images }: { result: StoredResult; images: readonly NewSpooledImage[] },
  retryInSeconds: number,
): Promise<void> {
  // Some megabytes take longer than a request's statement may, where the disk is slow.
  await sql`set local statement_timeout = '60s'`.execute(tx)
  await tx
    .insertInto('spooled_generations')
    .values({
      generation_id: generationId,
      result: JSON.stringify(result),
      retry_at: secondsFromNow(retryInSeconds),
    })
    .execute()
  for (const [position, { row, body }] of images.entries()) {
    const { user_id: _, ...facts } = row
    await tx
      .insertInto('spooled_images')
      .values({ ...facts, position, body: body === undefined ? null : decoded(body) })
      .execute()
  }
}

// As base64, because PGlite turns bytes into hex one by one, which holds the event loop.
const decoded = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  sql<Uint8Array>`decode(
    ${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}, 'base64')`

/** Whether the image waits, or rests in the store while others of its generation wait. */
export async function isSpooled(tx: Tx, imageId: string): Promise<boolean> {
  const query = tx.selectFrom('spooled_images').select('id').where('id', '=', imageId)
  return (await query.executeTakeFirst()) !== undefined
}

/** What a process is to store and end. */
export type ClaimedRow = Pick<GenerationRow, 'id' | 'user_id' | 'key_id' | 'attempt' | 'mode'> & {
  result: StoredResult
  /** The present one too. */
  tries: number
}

/** Takes what has been due the longest; what is locked is being ended, or taken by another process. */
export async function claimSpooled(db: Db, lease: Lease): Promise<ClaimedRow | undefined> {
  const { rows } = await sql<ClaimedRow>`
    with due as (
      select s.generation_id from spooled_generations s
      join generations g on g.id = s.generation_id
      where s.retry_at <= now() and g.status = 'running'
      order by s.retry_at limit 1
      for no key update of s, g skip locked
    ), taken as (
      update spooled_generations s set retry_at = null, tries = s.tries + 1
      from due where s.generation_id = due.generation_id
      returning s.generation_id, s.result, s.tries
    )
    update generations g
    set lease_owner = ${lease.owner}, lease_expires_at = ${secondsFromNow(lease.seconds)}
    from taken where g.id = taken.generation_id
    returning g.id, g.user_id, g.key_id, g.attempt, g.mode, taken.result, taken.tries`.execute(db)
  return rows[0]
}

export interface SpooledImage {
  row: NewRow
  /** False: it rests in the store. */
  waits: boolean
}

/** In the order of the calls. */
export async function listSpooledImages(
  db: Db,
  { id, user_id }: Pick<GenerationRow, 'id' | 'user_id'>,
): Promise<SpooledImage[]> {
  const rows = await db
    .selectFrom('spooled_images')
    .select(['id', 'generation_id', 'storage', 'object_key', 'mime_type', 'width', 'height'])
    .select(['bytes', 'sha256', sql<boolean>`body is not null`.as('waits')])
    .where('generation_id', '=', id)
    .orderBy('position')
    .execute()
  return rows.map(({ waits, ...row }) => ({ row: { ...row, user_id }, waits }))
}

/** The bytes of an image that waits; undefined: it does not any more. */
export async function readSpooled(db: Db, imageId: string): Promise<Uint8Array | undefined> {
  const row = await db
    .selectFrom('spooled_images')
    .select(sql<string>`encode(body, 'base64')`.as('base64'))
    .where('id', '=', imageId)
    .where('body', 'is not', null)
    .executeTakeFirst()
  return row && Buffer.from(row.base64, 'base64')
}

/** Lets go of bytes that rest in the store now. */
export async function markStored(db: Db, imageId: string, storage: StorageKind): Promise<void> {
  await db
    .updateTable('spooled_images')
    .set({ body: null, storage })
    .where('id', '=', imageId)
    .execute()
}

/** Puts off what a process has claimed, which then nobody does for so many seconds. */
export async function retryLater(
  db: Db,
  { owner, seconds }: Lease,
  { id, retryInSeconds }: { id: string; retryInSeconds: number },
): Promise<void> {
  await sql`
    with left_alone as (
      update generations
      set lease_owner = gen_random_uuid(), lease_expires_at = ${secondsFromNow(seconds)}
      where id = ${id} and status = 'running' and lease_owner = ${owner}
      returning id
    )
    update spooled_generations s set retry_at = ${secondsFromNow(retryInSeconds)}
    from left_alone where s.generation_id = left_alone.id`.execute(db)
}

/** Makes one due whose process has died; false when it lives after all, or where nothing waits. */
export async function retryAbandoned(
  db: Db,
  { id, attempt, owner }: Run,
  { all, seconds }: { all: boolean; seconds: number },
): Promise<boolean> {
  const { rows } = await sql`
    with left_behind as (
      update generations
      set lease_owner = gen_random_uuid(), lease_expires_at = ${secondsFromNow(seconds)}
      where id = ${id} and status = 'running' and attempt = ${attempt}
        and lease_owner is not distinct from ${owner}
        and (${all}::boolean or lease_expires_at < now())
        and exists (select from spooled_generations where generation_id = ${id})
      returning id
    )
    update spooled_generations s set retry_at = now()
    from left_behind where s.generation_id = left_behind.id
    returning s.generation_id`.execute(db)
  return rows.length > 0
}

/** Renews the leases of what waits for its next try, once a third of them has passed. */
export async function renewWaiting(db: Db, seconds: number): Promise<void> {
  await sql`
    update generations set lease_expires_at = ${secondsFromNow(seconds)}
    where id in (
      select g.id from spooled_generations s
      join generations g on g.id = s.generation_id
      where s.retry_at is not null and g.status = 'running'
        and g.lease_expires_at < ${secondsFromNow((seconds * 2) / 3)}
      for no key update of g skip locked
    )`.execute(db)
}

type SpooledObject = Pick<NewRow, 'storage' | 'object_key'>

/** Answers the objects, some of which may be in the store. */
export async function deleteSpooled(tx: Tx, generationId: string): Promise<SpooledObject[]> {
  const objects = await tx
    .deleteFrom('spooled_images')
    .where('generation_id', '=', generationId)
    .returning(['storage', 'object_key'])
    .execute()
  if (objects.length > 0) await endSpooled(tx, generationId)
  return objects
}

/** Removes a generation and its bytes from the spool, whose images have their rows now. */
export async function endSpooled(tx: Tx, generationId: string): Promise<void> {
  await tx.deleteFrom('spooled_generations').where('generation_id', '=', generationId).execute()
}

/** Of all generations of an account. */
export async function listSpooledOfUser(tx: Tx, userId: string): Promise<SpooledObject[]> {
  return tx
    .selectFrom('spooled_images')
    .innerJoin('generations', 'generations.id', 'spooled_images.generation_id')
    .select(['storage', 'object_key'])
    .where('generations.user_id', '=', userId)
    .execute()
}
