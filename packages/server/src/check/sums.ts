import { sql } from 'kysely'
import type { Search } from './violation.ts'

const counters: Search = {
  invariant: 'I3',
  statement: sql`
    with both_sides as (
      select owner_id, month, micros as counted, 0 as booked from spending
      union all
      select user_id, substr(day, 1, 7), 0, -amount_micros from usage where mode = 'live'
      union all
      select key_id, substr(day, 1, 7), 0, -amount_micros from usage
        where mode = 'live' and key_id is not null
    )
    select 'its counter of ' || month || ' is ' || sum(counted) || ' micro-dollars, and its ledger rows say '
        || sum(booked) as what,
      array[owner_id::text] as ids
    from both_sides
    group by owner_id, month
    having sum(counted) <> sum(booked)`,
}

const monthOfReservation: Search = {
  invariant: 'I3',
  statement: sql`
    select 'it was reserved on ' || reserved.day || ' and ended on the account of ' || ended.day as what,
      array[ended.generation_id::text] as ids
    from usage ended
    join usage reserved
      on reserved.generation_id = ended.generation_id and reserved.attempt = ended.attempt
      and reserved.kind = 'reserve'
    where ended.kind <> 'reserve' and ended.day <> reserved.day`,
}

/**
 * Only where nobody lowered a limit. After the last reservation a counter can have grown by no more
 * than what settled prices exceeded their reservations.
 */
export const withinLimits = (defaultLimitMicros: number | null): Search => ({
  invariant: 'I3',
  statement: sql`
    with limits as (
      select id, coalesce(monthly_limit_micros, ${defaultLimitMicros}::bigint) as micros from users
      union all
      select id, monthly_limit_micros from api_keys
    ), excess as (
      select user_id, key_id, substr(day, 1, 7) as month, -amount_micros as micros
      from usage where kind = 'settle' and amount_micros < 0
    )
    select 'its counter of ' || s.month || ' is ' || s.micros || ' micro-dollars, above its limit of '
        || l.micros as what,
      array[s.owner_id::text] as ids
    from spending s
    join limits l on l.id = s.owner_id
    where s.micros > l.micros + coalesce((
      select sum(e.micros) from excess e
      where s.owner_id in (e.user_id, e.key_id) and e.month = s.month
    ), 0)`,
})

const days: Search = {
  invariant: 'I8',
  statement: sql`
    with both_sides as (
      select user_id, mode, day, key_id, model,
        requests, images, input_tokens, output_tokens, cost_micros
      from usage_days
      union all
      select s.user_id, s.mode, s.day, s.key_id, s.model,
        -1, -s.images, -s.input_tokens, -(s.text_output_tokens + s.image_output_tokens),
        s.amount_micros + coalesce(r.amount_micros, 0)
      from usage s
      left join usage r
        on r.generation_id = s.generation_id and r.attempt = s.attempt and r.kind = 'reserve'
      where s.kind = 'settle'
    )
    select 'its usage of ' || day || ' (' || mode || ', ' || model || ') differs from the ledger by '
        || sum(requests) || ' requests, ' || sum(images) || ' images, ' || sum(input_tokens) || ' and '
        || sum(output_tokens) || ' tokens, ' || sum(cost_micros) || ' micro-dollars' as what,
      array_remove(array[user_id::text, key_id::text], null) as ids
    from both_sides
    group by user_id, mode, day, key_id, model
    having sum(requests) <> 0 or sum(images) <> 0 or sum(input_tokens) <> 0
      or sum(output_tokens) <> 0 or sum(cost_micros) <> 0`,
}

const stored: Search = {
  invariant: 'I9',
  statement: sql`
    with both_sides as (
      select user_id, bytes as counted, 0 as held from stored_bytes
      union all
      select user_id, 0, bytes from images where freed_at is null
    )
    select 'its counter of stored bytes is ' || sum(counted) || ', and its images have ' || sum(held) as what,
      array[user_id::text] as ids
    from both_sides
    group by user_id
    having sum(counted) <> sum(held)`,
}

export const searchesOfSums: readonly Search[] = [counters, monthOfReservation, days, stored]
