import { type Kysely, sql } from 'kysely'

/**
 * Kept by triggers, so that whatever adds, frees or removes an image counts in the same transaction:
 * a cascade too, and processes of the version before.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table images add column freed_at timestamptz`.execute(db)
  // Swept before there was anything to count.
  await sql`
    update images set freed_at = now()
    where storage = 'inline' and expires_at <= now()
      and not exists (select from inline_objects where key = object_key)`.execute(db)
  await sql`
    create table stored_bytes (
      user_id uuid primary key references users (id),
      bytes bigint not null check (bytes >= 0)
    )`.execute(db)
  await sql`
    create function count_stored_bytes() returns trigger language plpgsql as $$
    begin
      if tg_op = 'INSERT' then
        insert into stored_bytes (user_id, bytes)
          select user_id, sum(bytes) from added where freed_at is null group by user_id
          on conflict (user_id) do update set bytes = stored_bytes.bytes + excluded.bytes;
      elsif tg_op = 'UPDATE' then
        update stored_bytes s set bytes = s.bytes + change.bytes
          from (
            select user_id, sum(bytes) as bytes from (
              select user_id, bytes from added where freed_at is null
              union all
              select user_id, -bytes from removed where freed_at is null
            ) as both_sides group by user_id
          ) as change
          where s.user_id = change.user_id and change.bytes <> 0;
      else
        update stored_bytes s set bytes = s.bytes - gone.bytes
          from (
            select user_id, sum(bytes) as bytes from removed where freed_at is null group by user_id
          ) as gone
          where s.user_id = gone.user_id;
      end if;
      return null;
    end $$`.execute(db)
  await sql`
    create trigger images_added after insert on images referencing new table as added
    for each statement execute function count_stored_bytes()`.execute(db)
  await sql`
    create trigger images_changed after update on images
    referencing old table as removed new table as added
    for each statement execute function count_stored_bytes()`.execute(db)
  await sql`
    create trigger images_removed after delete on images referencing old table as removed
    for each statement execute function count_stored_bytes()`.execute(db)
  // The triggers hold the table until the migration ends, so none is added between them and the count.
  await sql`
    insert into stored_bytes (user_id, bytes)
    select user_id, sum(bytes) from images where freed_at is null group by user_id`.execute(db)
}
