import type { GenerationStatus, Mode } from '@nanobanana/shared'
import { type SelectQueryBuilder, sql } from 'kysely'
import type { Db } from '../../db/client.ts'
import type { Database } from '../../db/schema.ts'
import type { GenerationRow, Visible } from './generations.repo.ts'

/** Where a page ended. */
export type Position = Pick<GenerationRow, 'created_at' | 'id'>

/** What is undefined filters nothing. */
export interface Filters {
  /** Older than this. */
  before: Position | undefined
  status: GenerationStatus | undefined
  model: string | undefined
  keyId: string | undefined
  /** Each occurs in the prompt, in upper or lower case. */
  words: readonly string[]
  /** Made then or later. */
  createdAfter: Date | undefined
  /** Made earlier. */
  createdBefore: Date | undefined
}

type Query = SelectQueryBuilder<Database, 'generations', GenerationRow>

/**
 * Newest first by the database's clock, which all processes share, as their ids' times are not; ids
 * order what one millisecond made. A page without `words` and with one filter reads what it shows,
 * however many there are; several filters read what one of them leaves, a search reads every prompt.
 */
export async function listGenerations(
  db: Db,
  visible: Visible & { mode: Mode },
  filters: Filters,
  limit: number,
): Promise<GenerationRow[]> {
  const query = db
    .selectFrom('generations')
    .selectAll()
    .where('user_id', '=', visible.userId)
    .where('mode', '=', visible.mode)
  return withWords(withTimes(withColumns(query, filters), filters), filters)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

function withColumns(query: Query, { status, model, keyId }: Filters): Query {
  let narrowed = query
  if (status !== undefined) narrowed = narrowed.where('status', '=', status)
  if (model !== undefined) narrowed = narrowed.where('model', '=', model)
  if (keyId !== undefined) narrowed = narrowed.where('key_id', '=', keyId)
  return narrowed
}

function withTimes(query: Query, { before, createdAfter, createdBefore }: Filters): Query {
  let narrowed = query
  if (createdAfter !== undefined) narrowed = narrowed.where('created_at', '>=', createdAfter)
  if (createdBefore !== undefined) narrowed = narrowed.where('created_at', '<', createdBefore)
  if (before === undefined) return narrowed
  return narrowed.where(({ eb, refTuple, tuple }) =>
    eb(refTuple('created_at', 'id'), '<', tuple(before.created_at, before.id)),
  )
}

const withWords = (query: Query, { words }: Filters): Query =>
  words.reduce(
    (narrowed, word) => narrowed.where(sql<boolean>`prompt ilike ${containing(word)}`),
    query,
  )

/** A pattern of LIKE in which every character of the word stands for itself. */
const containing = (word: string): string => `%${word.replace(/[\\%_]/g, '\\$&')}%`
