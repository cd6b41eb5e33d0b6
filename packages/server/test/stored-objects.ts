import { randomUUID } from 'node:crypto'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import type { Db } from '../src/db/client.ts'
import { newUuid } from '../src/kernel/ids.ts'

export const hoursAgo = (hours: number): Date => new Date(Date.now() - hours * 3_600_000)

/** Files in the folder of the store on disk, as if they had been put so long ago; answers their keys. */
export async function plantFiles(
  dataDir: string,
  count: number,
  hours: number,
  userId: string = randomUUID(),
): Promise<string[]> {
  const folder = join(dataDir, 'files', 'u', userId)
  await mkdir(folder, { recursive: true })
  const keys: string[] = []
  for (let n = 0; n < count; n++) {
    const name = `${randomUUID()}.png`
    await writeFile(join(folder, name), 'x')
    await utimes(join(folder, name), hoursAgo(hours), hoursAgo(hours))
    keys.push(`u/${userId}/${name}`)
  }
  return keys
}

/** A marker in the store on disk, by default the database's own, as if put so long ago. */
export async function plantMarker(
  dataDir: string,
  db: Db,
  { hours = 48, id }: { hours?: number; id?: string } = {},
): Promise<string> {
  const own = db.selectFrom('database_identity').select('id')
  const name = id ?? (await own.executeTakeFirstOrThrow()).id
  const folder = join(dataDir, 'files', 'databases')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, name), 'x')
  await utimes(join(folder, name), hoursAgo(hours), hoursAgo(hours))
  return `databases/${name}`
}

/** Keys of the files that are there. */
export async function filesOf(dataDir: string): Promise<Set<string>> {
  const root = join(dataDir, 'files', 'u')
  const names = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  return new Set(
    names
      .filter((entry) => entry.isFile())
      .map((entry) => join('u', entry.parentPath.slice(root.length + 1), entry.name)),
  )
}

/** Rows of images under these keys, all of one generation in that state. */
export async function plantRows(
  db: Db,
  keys: readonly string[],
  { status = 'succeeded', storage = 'disk' } = {},
): Promise<void> {
  const [userId, generationId] = [newUuid(), newUuid()]
  await sql`insert into users (id, deleted_at) values (${userId}, now())`.execute(db)
  await sql`
    insert into generations (id, user_id, mode, status, model, prompt, size, n)
    values (${generationId}, ${userId}, 'test', ${status}, 'a-model', 'a banana', '1K', 1)`.execute(
    db,
  )
  await sql`
    insert into images (id, generation_id, user_id, position, storage, object_key, mime_type,
      width, height, bytes, sha256)
    select gen_random_uuid(), ${generationId}, ${userId}, n, ${storage}, key, 'image/png', 1, 1, 1, ''
    from unnest(${[...keys]}::text[]) with ordinality as planted (key, n)`.execute(db)
}
