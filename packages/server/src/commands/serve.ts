import { createService } from '../service.ts'
import type { Config } from '../config.ts'
import { stopOnSignal } from './stopping.ts'

/** Runs the service until a signal ends it; resolves once everything is closed. */
export async function serve(config: Config, onReady: (url: string) => void): Promise<void> {
  const service = await createService(config)
  const stopped = stopOnSignal(service, config.server)
  try {
    onReady(await service.listen())
  } catch (error) {
    await service.close()
    throw error
  }
  await stopped
}
