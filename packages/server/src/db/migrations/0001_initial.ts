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
      retry_at timestamptz
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
      lease_expires_at timestamptz,
      created_at timestamptz not null default now(),
      completed_at timestamptz
    )`.execute(db)
  await sql`create index generations_user on generations (user_id, mode, id desc)`.execute(db)
  // For the foreign key: without it the deletion of each key reads every generation.
  await sql`
    create index generations_key on generations (key_id)
    where key_id is not null`.execute(db)
  await sql`
    create index generations_unfinished on generations (lease_expires_at)
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
  await sql`create index images_user on images (user_id)`.execute(db)

  // No foreign key to generations or keys: the ledger outlives what it charged for.
  await sql`
    create table usage (
      id uuid primary key,
      user_id uuid not null,
      key_id uuid,
      generation_id uuid not null unique,
      mode text not null check (mode in ('live', 'test')),
      model text not null,
      month text not null,
      images integer not null,
      input_tokens integer not null,
      text_output_tokens integer not null,
      image_output_tokens integer not null,
      cost_micros bigint not null check (cost_micros >= 0),
      prices_as_of text not null,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`create index usage_user on usage (user_id, mode, created_at)`.execute(db)
  await sql`create index usage_month on usage (user_id, month) include (key_id, cost_micros)`.execute(
    db,
  )

  await sql`
    create table inline_objects (
      key text primary key,
      content_type text not null,
      bytes bytea not null,
      created_at timestamptz not null default now()
    )`.execute(db)
}
