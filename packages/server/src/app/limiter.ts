import { withGathering } from '../adapters/rate-limiter/gather.ts'
import { createMemoryRateLimiter } from '../adapters/rate-limiter/memory.ts'
import { createPostgresRateLimiter } from '../adapters/rate-limiter/postgres.ts'
import { createRedisRateLimiter } from '../adapters/rate-limiter/redis.ts'
import type { Config } from '../config.ts'
import type { Deps } from '../kernel/deps.ts'
import type { RateLimiter } from '../ports/rate-limiter.ts'

/** While Redis is lost the database counts; one that is embedded has one process, so memory will do. */
export async function openLimiter(
  { database, limits: { store }, redis }: Config,
  { db, log, metrics }: Pick<Deps, 'db' | 'log' | 'metrics'>,
  opened: AsyncDisposableStack,
): Promise<RateLimiter> {
  if (store === 'memory') return createMemoryRateLimiter()
  if (store === 'postgres') return withGathering(createPostgresRateLimiter(db))
  const fallback =
    database.url === undefined ? createMemoryRateLimiter() : createPostgresRateLimiter(db)
  const limiter = await createRedisRateLimiter({
    url: redis.url ?? '',
    log,
    fallback,
    onFallback: (store) => metrics.rateLimitFallbacks.inc({ store }),
  })
  opened.defer(() => limiter.close())
  return withGathering(limiter)
}
