import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/client.ts'
import type {
  RateLimitCharge,
  RateLimiter,
  RateLimitResult,
  RateLimitRule,
} from '../../ports/rate-limiter.ts'
import { type Count, resultOf } from './count.ts'

export interface PostgresRateLimiter extends RateLimiter {
  /** `seen`: what another store counted in this window before it was lost. */
  consume(
    rule: RateLimitRule,
    subject: string,
    calls?: number,
    seen?: Count,
  ): Promise<RateLimitResult>
}

/** Counts in a table: one statement, whatever the number of rules, by the database's clock. */
export function createPostgresRateLimiter(db: Db): PostgresRateLimiter {
  return {
    async consume(rule, subject, calls = 1, seen) {
      const [result] = await count(db, [{ rule, subject, ...(seen && { seen }) }], calls)
      if (result === undefined) throw new Error('the upsert of a rate limit answered no row')
      return result
    },

    consumeAll: (charges, calls = 1) => count(db, charges, calls),

    async sweep() {
      // Past rows that are being counted: to wait for them, holding others, could end in a deadlock.
      const swept = await sql`
        delete from rate_limits where (rule, subject) in (
          select rule, subject from rate_limits where expires_at <= now() for update skip locked
        )`.execute(db)
      return Number(swept.numAffectedRows ?? 0)
    },
  }
}

interface Step extends RateLimitCharge {
  readonly seen?: Count
}

interface CountedRow {
  readonly calls: number
  readonly count: number
  readonly reset_ms: number
}

/** Every step locks one row; rules always come in the same order, so no two statements deadlock. */
async function count(db: Db, steps: readonly Step[], calls: number): Promise<RateLimitResult[]> {
  const counting = steps.map((step, i) => sql`${ref('counted', i)} as (${upsert(step, i)})`)
  const asking = steps.map((_, i) => sql`${ref('asked', i)} (calls) as (${asked(steps, i, calls)})`)
  const results = steps.map(
    (_, i) => sql`
      select ${i}::int as position, calls, count,
        ceil(extract(epoch from expires_at - now()) * 1000)::int as reset_ms
      from ${ref('counted', i)}, ${ref('asked', i)}`,
  )
  const { rows } = await sql<CountedRow>`
    with ${sql.join(asking.flatMap((ask, i) => [ask, counting[i]]))}
    ${sql.join(results, sql` union all `)} order by position`.execute(db)
  return steps.flatMap(({ rule }, i) => {
    const row = rows[i]
    return row === undefined
      ? []
      : [resultOf(rule, { count: row.count, resetMs: row.reset_ms }, row.calls)]
  })
}

const ref = (name: string, i: number): RawBuilder<unknown> => sql.ref(`${name}_${i}`)

/** What the step before let pass. */
function asked(steps: readonly Step[], i: number, calls: number): RawBuilder<unknown> {
  const before = steps[i - 1]
  if (before === undefined) return sql`select ${calls}::int`
  return sql`
    select least(calls, greatest(0, ${before.rule.limit}::int - (count - calls)))
    from ${ref('counted', i - 1)}, ${ref('asked', i - 1)}`
}

/** A window never ends later than one that began now: not after the clock was set back either. */
function upsert({ rule, subject, seen }: Step, i: number): RawBuilder<unknown> {
  const before = seen?.count ?? 0
  const seconds = seen === undefined ? rule.windowSeconds : seen.resetMs / 1000
  return sql`
    insert into rate_limits as counter (rule, subject, count, expires_at)
    select ${rule.name}::text, ${subject}::text, ${before}::int + calls,
      now() + make_interval(secs => ${seconds}::float8)
    from ${ref('asked', i)} where calls > 0
    on conflict (rule, subject) do update set
      count = case when counter.expires_at > now()
        then greatest(counter.count + excluded.count - ${before}::int, excluded.count)
        else excluded.count end,
      expires_at = case when counter.expires_at > now()
        then least(counter.expires_at, excluded.expires_at) else excluded.expires_at end
    returning count, expires_at`
}
