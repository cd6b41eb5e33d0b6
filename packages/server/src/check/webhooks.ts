import { sql } from 'kysely'
import type { Search } from './violation.ts'

/** A change of an endpoint that began this long before has been committed. */
const SETTLING_SECONDS = 5
/** Deliveries go 30 days after their end, which comes later than the event. */
const KEPT_DAYS = 30

/**
 * Each end in the ledger, which also has those of earlier attempts. An endpoint is asked for what it
 * has been subscribed to without a gap; what changed since then says nothing.
 */
const delivered: Search = {
  invariant: 'I7',
  statement: sql`
    with ends as (
      select g.id, g.user_id, u.attempt, u.created_at,
        'generation.' || case when u.attempt < g.attempt then 'failed' else g.status end as type
      from usage u
      join generations g on g.id = u.generation_id
      where u.kind <> 'reserve' and u.created_at > now() - make_interval(days => ${KEPT_DAYS}::int)
    )
    select 'its ' || e.type || ' of attempt ' || e.attempt || ' has no delivery to an endpoint'
        as what,
      array[e.id::text, w.id::text] as ids
    from ends e
    join webhooks w on w.user_id = e.user_id and e.type = any (w.events)
      and w.disabled_at is null and w.deleted_at is null
      and w.subscribed_at < e.created_at - make_interval(secs => ${SETTLING_SECONDS}::int)
    where not exists (
      select from webhook_deliveries d
      where d.webhook_id = w.id and d.generation_id = e.id and d.generation_attempt = e.attempt
    )`,
}

const once: Search = {
  invariant: 'I7',
  statement: sql`
    select 'an event of it has ' || count(*) || ' deliveries to one endpoint' as what,
      array[generation_id::text, webhook_id::text] as ids
    from webhook_deliveries
    where generation_id is not null
    group by webhook_id, generation_id, generation_attempt
    having count(*) > 1`,
}

const oneId: Search = {
  invariant: 'I7',
  statement: sql`
    select 'an attempt of it was sent under another webhook-id' as what,
      array[a.delivery_id::text, a.message_id::text] as ids
    from webhook_attempts a
    where a.message_id <> a.delivery_id`,
}

const ofItsOwner: Search = {
  invariant: 'I7',
  statement: sql`
    select 'it is told to the endpoint of another account' as what,
      array[g.id::text, w.id::text] as ids
    from webhook_deliveries d
    join webhooks w on w.id = d.webhook_id
    join generations g on g.id = d.generation_id
    where g.user_id <> w.user_id`,
}

export const searchesOfWebhooks: readonly Search[] = [delivered, once, oneId, ofItsOwner]
