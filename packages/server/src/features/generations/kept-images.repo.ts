import type { Selectable } from 'kysely'
import type { Db, Tx } from '../../db/client.ts'
import type { InputImagesTable } from '../../db/schema.ts'

export type KeptImage = Omit<Selectable<InputImagesTable>, 'generation_id' | 'position'>

export async function insertKept(
  tx: Tx,
  generationId: string,
  images: readonly KeptImage[],
): Promise<void> {
  if (images.length === 0) return
  await tx
    .insertInto('input_images')
    .values(images.map((image, position) => ({ ...image, generation_id: generationId, position })))
    .execute()
}

/** In the order of the request. */
export async function listKept(db: Db, generationId: string): Promise<KeptImage[]> {
  return db
    .selectFrom('input_images')
    .select(['storage', 'object_key', 'mime_type'])
    .where('generation_id', '=', generationId)
    .orderBy('position')
    .execute()
}

/** Of all generations of an account. */
export async function listKeptOfUser(tx: Tx, userId: string): Promise<KeptImage[]> {
  return tx
    .selectFrom('input_images')
    .innerJoin('generations', 'generations.id', 'input_images.generation_id')
    .select(['storage', 'object_key', 'mime_type'])
    .where('generations.user_id', '=', userId)
    .where('generations.status', 'in', ['queued', 'running'])
    .execute()
}

/** Answers those that were there. */
export async function deleteKept(tx: Tx, generationId: string): Promise<KeptImage[]> {
  return tx
    .deleteFrom('input_images')
    .where('generation_id', '=', generationId)
    .returning(['storage', 'object_key', 'mime_type'])
    .execute()
}
