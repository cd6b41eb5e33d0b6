import { sql } from 'kysely'
import type { Search } from './violation.ts'

/** How long after its lease a generation may still wait for somebody to end it. */
const TAKEOVER_SECONDS = 5

const held: Search = {
  invariant: 'I1',
  statement: sql`
    select case
        when lease_owner is null or lease_expires_at is null then 'it is running, and nobody holds it'
        else 'it is running, and its lease ran out at ' || lease_expires_at
      end as what,
      array[id::text] as ids
    from generations
    where status = 'running'
      and (lease_owner is null or lease_expires_at is null
        or lease_expires_at < now() - make_interval(secs => ${TAKEOVER_SECONDS}::int))`,
}

/** Who takes it sets it running in the same transaction, so one that is queued is always in the queue. */
const waits: Search = {
  invariant: 'I1',
  statement: sql`
    select 'it is queued, and the queue does not know it' as what, array[id::text] as ids
    from generations g
    where status = 'queued'
      and not exists (select from pgboss.job j where j.id = g.id and j.state < 'active')`,
}

const once: Search = {
  invariant: 'I6',
  statement: sql`
    select count(*) || ' live records have the same key' as what, array_agg(generation_id::text) as ids
    from idempotency_keys
    where coalesce(expires_at > now(), true)
    group by user_id, scope, key
    having count(*) > 1`,
}

const ofItsOwner: Search = {
  invariant: 'I6',
  statement: sql`
    select 'the record of an idempotency key names the generation of another account or API key' as what,
      array[g.id::text] as ids
    from idempotency_keys k
    join generations g on g.id = k.generation_id
    where g.user_id <> k.user_id or k.scope <> coalesce(g.key_id::text, 'session')`,
}

/** A record that ends before its generation would let a second one in. */
const asLongAsItRuns: Search = {
  invariant: 'I6',
  statement: sql`
    select case
        when k.expires_at is null then 'it has ended, and the record of its idempotency key never will'
        else 'it runs, and the record of its idempotency key may end before it'
      end as what,
      array[g.id::text] as ids
    from idempotency_keys k
    join generations g on g.id = k.generation_id
    where (k.expires_at is null) <> (g.status in ('queued', 'running'))`,
}

export const searchesOfJobs: readonly Search[] = [held, waits, once, ofItsOwner, asLongAsItRuns]
