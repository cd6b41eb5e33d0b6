import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    alter table generations
      -- To be finished by another process when its own dies: whoever asked was told to come back.
      add column detached boolean not null default false,
      -- How often a process set it running.
      add column runs integer not null default 1,
      -- Its place in the queue: the lowest goes first.
      add column queue_tag bigint`.execute(db)
  await sql`alter table generations alter column runs set default 0`.execute(db)
  await sql`
    create index generations_queued on generations (queue_tag)
    where status = 'queued'`.execute(db)
  await sql`
    create index generations_queued_of_user on generations (user_id, queue_tag)
    where status = 'queued'`.execute(db)

  // Copies of a request's images, for a run in another process or at another time.
  await sql`
    create table input_images (
      generation_id uuid not null references generations (id) on delete cascade,
      position integer not null,
      storage text not null check (storage in ('s3', 'disk', 'inline')),
      object_key text not null unique,
      mime_type text not null check (mime_type in ('image/png', 'image/jpeg', 'image/webp')),
      primary key (generation_id, position)
    )`.execute(db)

  await sql`
    create table generation_events (
      generation_id uuid not null references generations (id) on delete cascade,
      sequence integer not null,
      type text not null,
      -- Of an image: its position.
      position integer,
      created_at timestamptz not null default now(),
      primary key (generation_id, sequence)
    )`.execute(db)
  await sql`create index generation_events_created_at on generation_events (created_at)`.execute(db)
}
