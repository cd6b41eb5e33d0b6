// A process that calls a limiter many times at once: `consume.ts URL RULE CALLS`. It prints `ready`, begins
// when its input ends, and prints how many calls were allowed.
import { text } from 'node:stream/consumers'
import { createPostgresRateLimiter } from '../src/adapters/rate-limiter/postgres.ts'
import { createRedisRateLimiter } from '../src/adapters/rate-limiter/redis.ts'
import { openPostgres } from '../src/db/client.ts'
import type { RateLimiter, RateLimitRule } from '../src/ports/rate-limiter.ts'

const [url = '', rule = '{}', calls = '0'] = process.argv.slice(2)

async function open(): Promise<{ limiter: RateLimiter; close: () => unknown }> {
  if (url.startsWith('redis:')) {
    const limiter = await createRedisRateLimiter({
      url,
      fallback: {
        consume: () => Promise.reject(new Error('there is no fallback')),
        sweep: async () => 0,
      },
      log: { info: () => {}, warn: () => {} },
      commandTimeoutMs: 10_000,
    })
    return { limiter, close: () => limiter.close() }
  }
  const { db, close } = await openPostgres({ url }, { onConnectionError: () => {} })
  return { limiter: createPostgresRateLimiter(db), close }
}

const { limiter, close } = await open()
const parsed = JSON.parse(rule) as RateLimitRule
await limiter.consume({ ...parsed, name: `${parsed.name}-warm-up` }, 'subject')
process.stdout.write('ready')
await text(process.stdin)
const results = await Promise.all(
  Array.from({ length: Number(calls) }, () => limiter.consume(parsed, 'subject')),
)
process.stdout.write(String(results.filter((one) => one.allowed).length))
await close()
