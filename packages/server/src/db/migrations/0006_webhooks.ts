import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table webhooks (
      id uuid primary key,
      user_id uuid not null references users (id),
      url text not null,
      events text[] not null,
      description text,
      disabled_at timestamptz,
      disabled_reason text check (disabled_reason in ('user', 'gone', 'failing', 'secret_unreadable')),
      failing_since timestamptz,
      -- Since when it has been told of its events without a gap.
      subscribed_at timestamptz not null default now(),
      -- Its deliveries may be too many for one request; the sweeper removes them.
      deleted_at timestamptz,
      created_at timestamptz not null default now(),
      check ((disabled_at is null) = (disabled_reason is null))
    )`.execute(db)
  await sql`create index webhooks_user on webhooks (user_id, id desc)`.execute(db)
  await sql`
    create index webhooks_deleted on webhooks (deleted_at) where deleted_at is not null`.execute(db)

  await sql`
    create table webhook_secrets (
      id uuid primary key,
      webhook_id uuid not null references webhooks (id) on delete cascade,
      sealed bytea not null,
      -- Null: the newest.
      expires_at timestamptz,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`
    create unique index webhook_secrets_newest on webhook_secrets (webhook_id)
    where expires_at is null`.execute(db)
  await sql`create index webhook_secrets_webhook on webhook_secrets (webhook_id)`.execute(db)

  // No foreign key to generations: one that was deleted leaves its deliveries, dropped.
  await sql`
    create table webhook_deliveries (
      id uuid primary key,
      webhook_id uuid not null references webhooks (id) on delete cascade,
      generation_id uuid,
      generation_attempt integer,
      type text not null,
      status text not null default 'pending'
        check (status in ('pending', 'delivered', 'failed', 'dropped')),
      -- Claims, each of which makes an attempt; grows only, so that it tells them apart.
      attempts integer not null default 0,
      -- Place in the schedule of retries; begins anew when somebody sends it again.
      step integer not null default 0,
      next_attempt_at timestamptz,
      lease_expires_at timestamptz,
      ended_at timestamptz,
      -- When it was made, sent again or ended last.
      touched_at timestamptz not null default now(),
      created_at timestamptz not null default now(),
      check ((status = 'pending') = (next_attempt_at is not null))
    )`.execute(db)
  await sql`
    create unique index webhook_deliveries_once
    on webhook_deliveries (webhook_id, generation_id, generation_attempt)`.execute(db)
  await sql`
    create index webhook_deliveries_list on webhook_deliveries (webhook_id, id desc)`.execute(db)
  // By endpoint first: however many wait for one, the next of another is as near.
  await sql`
    create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_attempt_at)
    where next_attempt_at is not null`.execute(db)
  await sql`
    create index webhook_deliveries_leased on webhook_deliveries (webhook_id, lease_expires_at)
    where lease_expires_at is not null`.execute(db)
  await sql`create index webhook_deliveries_touched on webhook_deliveries (touched_at)`.execute(db)

  await sql`
    create table webhook_attempts (
      delivery_id uuid not null references webhook_deliveries (id) on delete cascade,
      number integer not null,
      -- As it was sent: the same in every attempt of a delivery.
      message_id uuid not null,
      began_at timestamptz not null,
      duration_ms integer not null,
      status_code integer,
      error text check (error in ('bad_status', 'unreachable')),
      primary key (delivery_id, number)
    )`.execute(db)

  await sql`alter table audit add column webhook_id uuid`.execute(db)
}
