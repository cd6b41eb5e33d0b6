import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  // No foreign keys: what they belonged to is gone.
  await sql`
    create table doomed_objects (
      storage text not null check (storage in ('s3', 'disk', 'inline')),
      object_key text not null,
      retry_at timestamptz not null default now(),
      primary key (storage, object_key)
    )`.execute(db)
  await sql`create index doomed_objects_retry_at on doomed_objects (storage, retry_at)`.execute(db)
}
