import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table users (
      id uuid primary key,
      email text unique,
      email_display text,
      password_hash text,
      name text,
      token_version integer not null default 1,
      monthly_limit_micros bigint check (monthly_limit_micros >= 0),
      disabled_at timestamptz,
      deleted_at timestamptz,
      created_at timestamptz not null default now(),
      check (deleted_at is not null or (email is not null and password_hash is not null))
    )`.execute(db)

  await sql`
    create table revoked_tokens (
      jti uuid primary key,
      user_id uuid not null references users (id),
      expires_at timestamptz not null
    )`.execute(db)
  await sql`create index revoked_tokens_expires_at on revoked_tokens (expires_at)`.execute(db)
  await sql`create index revoked_tokens_user on revoked_tokens (user_id)`.execute(db)

  await sql`
    create table login_attempts (
      address bytea primary key,
      failures integer not null,
      retry_at timestamptz,
      attempted_at timestamptz not null default now()
    )`.execute(db)
  await sql`create index login_attempts_attempted_at on login_attempts (attempted_at)`.execute(db)

  // Not logged: after a crash of the database windows begin anew, which costs less than a log of counts.
  await sql`
    create unlogged table rate_limits (
      rule text not null,
      subject text not null,
      count integer not null,
      expires_at timestamptz not null,
      primary key (rule, subject)
    )`.execute(db)

  await sql`
    create table api_keys (
      id uuid primary key,
      user_id uuid not null references users (id),
      name text not null,
      prefix text not null,
      mode text not null check (mode in ('live', 'test')),
      scopes text[] not null,
      status text not null default 'active' check (status in ('active', 'disabled', 'revoked')),
      expires_at timestamptz,
      last_used_at timestamptz,
      monthly_limit_micros bigint check (monthly_limit_micros >= 0),
      requests_per_minute integer check (requests_per_minute > 0),
      max_concurrency integer check (max_concurrency > 0),
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`create index api_keys_user on api_keys (user_id, id desc)`.execute(db)

  await sql`
    create table api_key_secrets (
      digest bytea primary key,
      key_id uuid not null references api_keys (id) on delete cascade,
      pepper_id text not null,
      expires_at timestamptz,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`create index api_key_secrets_key on api_key_secrets (key_id)`.execute(db)

  await sql`
    create table generations (
      id uuid primary key,
      user_id uuid not null references users (id),
      key_id uuid references api_keys (id),
      mode text not null check (mode in ('live', 'test')),
      status text not null check (status in ('queued', 'running', 'succeeded', 'failed', 'canceled')),
      model text not null,
      prompt text not null,
      aspect_ratio text,
      size text not null,
      n integer not null,
      input_images integer not null default 0,
      output_format text,
      output_quality integer,
      seed integer,
      thinking_level text,
      parent_id uuid,
      text text,
      warnings jsonb not null default '[]',
      error jsonb,
      metadata jsonb not null default '{}',
      end_user text,
      input_tokens integer not null default 0,
      output_tokens integer not null default 0,
      cost_micros bigint not null default 0 check (cost_micros >= 0),
      upstream_cost_micros bigint not null default 0 check (upstream_cost_micros >= 0),
      attempt integer not null default 1,
      reserved_micros bigint not null default 0 check (reserved_micros >= 0),
      reserved_on text not null default to_char(now() at time zone 'UTC', 'YYYY-MM-DD'),
      lease_owner uuid,
      lease_expires_at timestamptz,
      -- In milliseconds, as callers and cursors say it.
      created_at timestamptz(3) not null default now(),
      completed_at timestamptz
    )`.execute(db)
  // One index for each filter of the list, in its order: a page reads what it shows. All begin alike,
  // or statistics of another first column could make the planner prefer one without the filter.
  await sql`
    create index generations_user on generations (user_id, mode, created_at desc, id desc)`.execute(
    db,
  )
  await sql`
    create index generations_status
    on generations (user_id, mode, status, created_at desc, id desc)`.execute(db)
  await sql`
    create index generations_model
    on generations (user_id, mode, model, created_at desc, id desc)`.execute(db)
  await sql`
    create index generations_key_list
    on generations (user_id, mode, key_id, created_at desc, id desc)
    where key_id is not null`.execute(db)
  // For the foreign key: without it the deletion of each key reads every generation.
  await sql`
    create index generations_key on generations (key_id)
    where key_id is not null`.execute(db)
  await sql`
    create index generations_unfinished on generations (lease_expires_at)
    where status in ('queued', 'running')`.execute(db)
  await sql`
    create index generations_unfinished_of_key on generations (key_id)
    where status in ('queued', 'running')`.execute(db)

  await sql`
    create table images (
      id uuid primary key,
      generation_id uuid not null references generations (id) on delete cascade,
      user_id uuid not null references users (id),
      position integer not null,
      storage text not null check (storage in ('s3', 'disk', 'inline')),
      object_key text not null unique,
      mime_type text not null check (mime_type in ('image/png', 'image/jpeg', 'image/webp')),
      width integer not null,
      height integer not null,
      bytes integer not null,
      sha256 text not null,
      expires_at timestamptz,
      created_at timestamptz not null default now(),
      unique (generation_id, position)
    )`.execute(db)
  // Both, since every read names both: without statistics the planner would take the account alone.
  await sql`create index images_user on images (user_id, generation_id)`.execute(db)

  // No foreign key to generations or keys: the ledger outlives what it charged for.
  await sql`
    create table usage (
      id uuid primary key,
      kind text not null check (kind in ('reserve', 'settle', 'release')),
      user_id uuid not null,
      key_id uuid,
      generation_id uuid not null,
      attempt integer not null,
      mode text not null check (mode in ('live', 'test')),
      model text not null,
      day text not null,
      amount_micros bigint not null,
      images integer not null default 0,
      input_tokens integer not null default 0,
      text_output_tokens integer not null default 0,
      image_output_tokens integer not null default 0,
      prices_as_of text,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`
    create unique index usage_reserved on usage (generation_id, attempt)
    where kind = 'reserve'`.execute(db)
  await sql`
    create unique index usage_ended on usage (generation_id, attempt)
    where kind <> 'reserve'`.execute(db)

  await sql`
    create table spending (
      owner_id uuid not null,
      month text not null,
      micros bigint not null check (micros >= 0),
      primary key (owner_id, month)
    )`.execute(db)

  await sql`
    create table usage_days (
      user_id uuid not null,
      mode text not null check (mode in ('live', 'test')),
      day text not null,
      key_id uuid,
      model text not null,
      requests bigint not null,
      images bigint not null,
      input_tokens bigint not null,
      output_tokens bigint not null,
      cost_micros bigint not null check (cost_micros >= 0),
      unique nulls not distinct (user_id, mode, day, key_id, model)
    )`.execute(db)

  await sql`
    create table idempotency_keys (
      user_id uuid not null references users (id),
      scope text not null,
      key text not null,
      fingerprint bytea not null,
      generation_id uuid not null,
      expires_at timestamptz,
      created_at timestamptz not null default now(),
      primary key (user_id, scope, key)
    )`.execute(db)
  await sql`create index idempotency_keys_generation on idempotency_keys (generation_id)`.execute(
    db,
  )
  await sql`
    create index idempotency_keys_expires_at on idempotency_keys (expires_at)
    where expires_at is not null`.execute(db)

  await sql`
    create table inline_objects (
      key text primary key,
      content_type text not null,
      bytes bytea not null,
      modified_at timestamptz not null default now()
    )`.execute(db)

  // No foreign keys: what happened outlives whom it happened to.
  await sql`
    create table audit (
      id bigint generated always as identity primary key,
      action text not null,
      user_id uuid,
      key_id uuid,
      detail text,
      minute timestamptz,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`create index audit_user on audit (user_id, id desc)`.execute(db)
  await sql`
    create unique index audit_once_a_minute on audit (action, user_id, key_id, detail, minute)
    nulls not distinct where minute is not null`.execute(db)
  await sql`
    create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception 'rows of % are added, never changed or removed', tg_table_name
        using errcode = 'insufficient_privilege';
    end $$`.execute(db)
  await sql`
    create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change()`.execute(db)

  await sql`
    create table sweeps (
      task text primary key,
      began_at timestamptz not null
    )`.execute(db)
}
