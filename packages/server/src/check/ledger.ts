import { sql } from 'kysely'
import type { Search } from './violation.ts'

const sums: Search = {
  invariant: 'I2',
  statement: sql`
    with expected as (
      select id, status, case
          when status = 'succeeded' then -cost_micros
          when status in ('failed', 'canceled') then 0
          else -reserved_micros
        end as micros
      from generations
    ), booked as (
      select generation_id, sum(amount_micros) as micros from usage group by generation_id
    )
    select 'it is ' || e.status || ', and its ledger rows sum to ' || coalesce(b.micros, 0)
        || ' micro-dollars instead of ' || e.micros as what,
      array[e.id::text] as ids
    from expected e
    left join booked b on b.generation_id = e.id
    where coalesce(b.micros, 0) <> e.micros`,
}

const noCostOfFailures: Search = {
  invariant: 'I2',
  statement: sql`
    select 'it is ' || status || ', and says that it costs ' || cost_micros || ' micro-dollars' as what,
      array[id::text] as ids
    from generations
    where status <> 'succeeded' and cost_micros <> 0`,
}

/** Each attempt is reserved; each but the one that runs has its end. */
const rowsOfAttempts: Search = {
  invariant: 'I2',
  statement: sql`
    with booked as (
      select generation_id,
        count(*) filter (where kind = 'reserve') as reserved,
        count(*) filter (where kind <> 'reserve') as ended
      from usage group by generation_id
    )
    select 'its ' || g.attempt || ' attempts have ' || coalesce(b.reserved, 0) || ' reservations and '
        || coalesce(b.ended, 0) || ' ends in the ledger, while it is ' || g.status as what,
      array[g.id::text] as ids
    from generations g
    left join booked b on b.generation_id = g.id
    where coalesce(b.reserved, 0) <> g.attempt
      or coalesce(b.ended, 0) <> g.attempt - (g.status in ('queued', 'running'))::int`,
}

/** Also of generations that were deleted: their rows stay. */
const attempts: Search = {
  invariant: 'I2',
  statement: sql`
    with attempts as (
      select generation_id, attempt, sum(amount_micros) as micros,
        count(*) filter (where kind = 'reserve') as reserved,
        count(*) filter (where kind = 'release') as released,
        count(*) filter (where kind = 'settle') as settled
      from usage group by generation_id, attempt
    )
    select case
        when a.reserved <> 1 then 'attempt ' || a.attempt || ' has ' || a.reserved || ' reservations'
        when a.released + a.settled > 1 then 'attempt ' || a.attempt || ' ended more than once'
        when a.released = 1 then 'attempt ' || a.attempt || ' was released, and keeps '
          || -a.micros || ' micro-dollars'
        when a.settled = 1 then 'attempt ' || a.attempt || ' gave more than it took: ' || a.micros
          || ' micro-dollars'
        else 'attempt ' || a.attempt || ' has reserved ' || -a.micros
          || ' micro-dollars, and it does not run'
      end as what,
      array[a.generation_id::text] as ids
    from attempts a
    left join generations g on g.id = a.generation_id
    where a.reserved <> 1 or a.released + a.settled > 1
      or (a.released = 1 and a.micros <> 0)
      or (a.settled = 1 and a.micros > 0)
      or (a.released + a.settled = 0
        and coalesce(g.status not in ('queued', 'running') or g.attempt <> a.attempt, true))`,
}

const ofItsOwner: Search = {
  invariant: 'I2',
  statement: sql`
    select 'a ledger row of it is booked on another account, API key or mode' as what,
      array[g.id::text, u.id::text] as ids
    from usage u
    join generations g on g.id = u.generation_id
    where u.user_id <> g.user_id or u.key_id is distinct from g.key_id or u.mode <> g.mode`,
}

const testIsFree: Search = {
  invariant: 'I2',
  statement: sql`
    select 'in test mode the ledger moved ' || amount_micros || ' micro-dollars' as what,
      array[generation_id::text, id::text] as ids
    from usage
    where mode = 'test' and amount_micros <> 0`,
}

export const searchesOfLedger: readonly Search[] = [
  sums,
  noCostOfFailures,
  rowsOfAttempts,
  attempts,
  ofItsOwner,
  testIsFree,
]
