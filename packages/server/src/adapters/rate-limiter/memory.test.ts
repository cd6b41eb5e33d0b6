import { rateLimiterContract } from '../../ports/rate-limiter.contract.ts'
import { createMemoryRateLimiter } from './memory.ts'

rateLimiterContract('the limiter in memory', async () => ({
  limiter: createMemoryRateLimiter(),
  close: async () => {},
}))
