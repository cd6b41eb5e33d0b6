import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table database_identity (
      id uuid not null default gen_random_uuid(),
      is_only boolean primary key default true check (is_only)
    )`.execute(db)
  await sql`insert into database_identity default values`.execute(db)
}
