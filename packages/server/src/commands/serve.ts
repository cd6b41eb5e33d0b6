import { createService, type Service } from '../service.ts'
import type { Config } from '../config.ts'

/** Runs the service until a signal ends it; resolves once everything is closed. */
export async function serve(config: Config, onReady: (url: string) => void): Promise<void> {
  const service = await createService(config)
  const stopped = stopOnSignal(service, config.server.drainTimeoutMs)
  try {
    onReady(await service.listen())
  } catch (error) {
    await service.close()
    throw error
  }
  await stopped
}

function stopOnSignal(service: Service, drainTimeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false
    const stop = (signal: NodeJS.Signals) => {
      if (stopping) {
        service.deps.log.warn({ signal }, 'stopping without waiting')
        // A second signal means now: what is in flight is found and failed by the next start.
        process.exit(1)
      }
      stopping = true
      service.deps.log.info({ signal }, 'draining')
      const late = setTimeout(() => process.exit(1), drainTimeoutMs).unref()
      service
        .close()
        .then(resolve, reject)
        .finally(() => clearTimeout(late))
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)
  })
}
