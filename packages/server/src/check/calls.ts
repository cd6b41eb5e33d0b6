import { sql } from 'kysely'
import type { Search } from './violation.ts'

/** Calls that were counted where they arrived. */
export interface CountedCalls {
  /** By the generation's UUID, or by any other name for a call of none. */
  readonly calls: ReadonlyMap<string, number>
  /** Allowed for one image of one run; default 3, a call and two repeats. */
  readonly perImage?: number
}

const PER_IMAGE = 3
/** Of a generation that was deleted meanwhile, whose own number is gone. */
const MAX_IMAGES = 4

export function callsWithin({ calls, perImage = PER_IMAGE }: CountedCalls): Search {
  const counted = JSON.stringify([...calls].map(([id, count]) => ({ id, count })))
  return {
    invariant: 'I5',
    statement: sql`
      with allowed as (
        select id::text as id, n * greatest(attempt, runs) * ${perImage}::int as count from generations
        union all
        select generation_id::text, max(attempt) * ${MAX_IMAGES * perImage}::int from usage u
        where not exists (select from generations g where g.id = u.generation_id)
        group by generation_id
      )
      select 'the provider was called ' || c.count || ' times for it, '
          || coalesce(a.count || ' are allowed', 'and it was never reserved') as what,
        array[c.id] as ids
      from jsonb_to_recordset(${counted}::jsonb) as c (id text, count int)
      left join allowed a on a.id = c.id
      where c.count > coalesce(a.count, 0)`,
  }
}
