import { sql } from 'kysely'
import { type Db, transaction, type Tx } from '../src/db/client.ts'

/** An account's past, in bare uuids. */
export interface History {
  readonly userId: string
  /** Of two keys or more; the first made nothing but the oldest hundredth, the second the older half. */
  readonly keyIds: readonly string[]
  readonly generations: number
}

/** What the oldest hundredth alone is: a filter by it finds its rows behind all others. */
export const OLDEST = { status: 'canceled', model: 'gemini-3-pro-image' } as const
/** A third of the older half, and nothing since. */
export const OLDER_MODEL = 'gemini-3.1-flash-image'

/** Id of an account's n-th generation, from 1, and of its image. */
export const generationId = ({ userId }: Pick<History, 'userId'>, n: number): string =>
  `${prefixOf(userId)}${n.toString(16).padStart(12, '0')}`

/** By the end of the account's id: two of one millisecond begin alike. */
const prefixOf = (userId: string): string =>
  `${userId.slice(-12, -4)}-${userId.slice(-4)}-7000-8000-`

/**
 * Writes generations at even steps over the last 365 days, with a picture's row and the sums of days
 * for what succeeded. Foreign keys go unchecked, which takes a superuser.
 */
export const insertHistory = (db: Db, history: History): Promise<void> =>
  transaction(db, async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx)
    await insertGenerations(tx, history)
    await insertImages(tx, history)
    await insertDays(tx, history)
  })

const ofUser = ({ userId }: History) => sql`user_id = ${userId}::uuid and status = 'succeeded'`

async function insertGenerations(tx: Tx, { userId, keyIds, generations }: History) {
  await sql`
    insert into generations (id, user_id, key_id, mode, status, model, prompt, size, n,
      input_tokens, output_tokens, cost_micros, created_at, completed_at)
    select (${prefixOf(userId)} || lpad(to_hex(n), 12, '0'))::uuid, ${userId}::uuid,
      case when oldest then keys[1] when newer and place = 2 then null else keys[place] end,
      'live',
      case when oldest then ${OLDEST.status} when n % 50 = 0 then 'failed' else 'succeeded' end,
      case when oldest then ${OLDEST.model} when n % 3 = 0 and not newer then ${OLDER_MODEL}
        else 'gemini-nano-banana-2.1' end,
      'a banana of kind ' || n % 1000 || ' before a ' || (array['red', 'blue', 'green'])[1 + n % 3] ||
        ' wall, in the morning light of a late autumn day, from below',
      '1K', 1, 8, 1980, case when oldest or n % 50 = 0 then 0 else 50412 end, at, at
    from (
      select n, ${keyIds}::uuid[] as keys, 2 + n % (cardinality(${keyIds}::uuid[]) - 1) as place,
        n <= ${generations}::int / 100 as oldest, n > ${generations}::int / 2 as newer,
        now() - interval '365 days' * (${generations}::int - n) / ${generations}::int as at
      from generate_series(1, ${generations}::int) n
    ) numbers`.execute(tx)
}

async function insertImages(tx: Tx, history: History) {
  await sql`
    insert into images (id, generation_id, user_id, position, storage, object_key, mime_type, width,
      height, bytes, sha256)
    select id, id, user_id, 0, 'disk', 'u/' || user_id || '/' || id || '.jpg', 'image/jpeg', 1024,
      1024, 700000, repeat('0', 64)
    from generations where ${ofUser(history)}`.execute(tx)
}

async function insertDays(tx: Tx, history: History) {
  await sql`
    insert into usage_days
    select user_id, mode, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD') as day, key_id, model,
      count(*), count(*), sum(input_tokens), sum(output_tokens), sum(cost_micros)
    from generations where ${ofUser(history)}
    group by user_id, mode, day, key_id, model`.execute(tx)
}

/** The ledger's rows of a history, two for each generation that succeeded. */
export async function insertLedger(db: Db, history: History): Promise<void> {
  await sql`
    insert into usage (id, kind, user_id, key_id, generation_id, attempt, mode, model, day, amount_micros)
    select overlay(id::text placing p.place from 15 for 1)::uuid, p.kind, user_id, key_id, id, 1, mode,
      model, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD'), -cost_micros / 2
    from generations, (values ('reserve', '7'), ('settle', '8')) p (kind, place)
    where ${ofUser(history)}`.execute(db)
}
