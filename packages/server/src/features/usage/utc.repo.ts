import { sql } from 'kysely'

/** The database's day in UTC, YYYY-MM-DD. */
export const today = sql<string>`to_char(now() at time zone 'UTC', 'YYYY-MM-DD')`

/** The database's month in UTC, YYYY-MM. */
export const currentMonth = sql<string>`to_char(now() at time zone 'UTC', 'YYYY-MM')`
