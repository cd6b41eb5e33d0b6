import { sql } from 'kysely'
import type { Search } from './violation.ts'

/** Whoever ends a generation takes its pictures out of the spool. */
const ofWhatRuns: Search = {
  invariant: 'I1',
  statement: sql`
    select 'its pictures wait for their store, and it is ' || g.status as what,
      array[g.id::text] as ids
    from spooled_generations s
    join generations g on g.id = s.generation_id
    where g.status <> 'running'`,
}

const withImages: Search = {
  invariant: 'I1',
  statement: sql`
    select 'it waits for its store, and has no pictures' as what, array[generation_id::text] as ids
    from spooled_generations s
    where not exists (select from spooled_images i where i.generation_id = s.generation_id)`,
}

const whole: Search = {
  invariant: 'I4',
  statement: sql`
    select 'its bytes in the spool have another SHA-256 than was recorded' as what,
      array[id::text] as ids
    from spooled_images
    where encode(sha256(body), 'hex') <> sha256`,
}

export const searchesOfSpool: readonly Search[] = [ofWhatRuns, withImages, whole]
