import type { Config } from '../config.ts'
import { startWorker } from '../worker.ts'
import { stopOnSignal } from './stopping.ts'

/** Works until a signal ends it; resolves once everything is closed. */
export async function work(config: Config, onReady: () => void): Promise<void> {
  const worker = await startWorker(config)
  const stopped = stopOnSignal(worker, config.server)
  onReady()
  await stopped
}
