import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  // A generation whose pictures are made and paid for, while the store does not take them.
  await sql`
    create table spooled_generations (
      generation_id uuid primary key references generations (id) on delete cascade,
      -- All that its end needs beside the images.
      result jsonb not null,
      tries integer not null default 0,
      -- Null while a process is at it; then the lease of the generation tells whether that lives.
      retry_at timestamptz,
      created_at timestamptz not null default now()
    )`.execute(db)
  await sql`
    create index spooled_generations_retry_at on spooled_generations (retry_at)
    where retry_at is not null`.execute(db)

  // All images of such a generation, so that no sweep takes those for orphans that are stored.
  await sql`
    create table spooled_images (
      id uuid primary key,
      generation_id uuid not null references spooled_generations (generation_id) on delete cascade,
      position integer not null,
      storage text not null check (storage in ('s3', 'disk', 'inline')),
      object_key text not null unique,
      mime_type text not null check (mime_type in ('image/png', 'image/jpeg', 'image/webp')),
      width integer not null,
      height integer not null,
      bytes integer not null,
      sha256 text not null,
      -- Null: they rest in the store.
      body bytea,
      unique (generation_id, position)
    )`.execute(db)
  // Pictures are compressed already.
  await sql`alter table spooled_images alter column body set storage external`.execute(db)
}
