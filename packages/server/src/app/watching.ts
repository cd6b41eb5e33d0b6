import type { Db } from '../db/client.ts'
import { countSpooled, readOldest, readQueue } from '../features/generations/generations.service.ts'
import * as webhooks from '../features/webhooks/webhooks.service.ts'
import type { Metrics } from '../kernel/metrics.ts'

/** Of the whole installation: each process tells the same. */
export function watchQueue(metrics: Metrics, db: Db): void {
  metrics.watch('queue_generations', () => readQueue({ db }))
  metrics.watch('queue_oldest_seconds', () => readOldest({ db }))
  metrics.watch('spool_objects', async () => [{ value: (await countSpooled(db)).images }])
  metrics.watch('spool_oldest_seconds', async () => [
    { value: (await countSpooled(db)).oldestSeconds },
  ])
  metrics.watch('webhook_deliveries_waiting', async () => [
    { value: (await webhooks.readBacklog({ db })).waiting },
  ])
  metrics.watch('webhook_oldest_seconds', async () => [
    { value: (await webhooks.readBacklog({ db })).oldestSeconds },
  ])
}
