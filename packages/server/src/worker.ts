import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { createApp } from './app.ts'
import { BootError, type Config } from './config.ts'
import { releaseLeases } from './features/generations/generations.service.ts'
import { createMetricsServer } from './http/metrics-server.ts'
import { startWorkers } from './jobs/generations.ts'
import { startSpool } from './jobs/spool.ts'
import { startWebhooks } from './jobs/webhooks.ts'
import type { Deps } from './kernel/deps.ts'
import { openMetrics } from './service.ts'

/** The app without its entrances over HTTP: it takes what waits, and tells webhooks. */
export interface Worker {
  readonly deps: Deps
  readonly metrics: FastifyInstance | undefined
  /** Takes nothing more. */
  drain(): void
  /** Resolves when nothing is at work any more. */
  finish(): Promise<void>
  /** Leaves what still runs here to other processes. */
  release(): Promise<void>
  close(): Promise<void>
}

const POLL_MS = 50

export async function startWorker(config: Config): Promise<Worker> {
  refuseUnfit(config)
  const app = await createApp(config)
  const { deps } = app
  const state = { draining: false }
  const { metricsPort } = config.server
  const metrics = metricsPort === undefined ? undefined : createMetricsServer(deps, state)
  try {
    await openMetrics(deps, metrics, config)
  } catch (error) {
    await app.close()
    throw error
  }
  const jobs = [startWorkers(deps, config.jobs.workers), startSpool(deps), startWebhooks(deps)]
  const stopJobs = () => Promise.all(jobs.map((job) => job.stop()))
  const drain = () => {
    state.draining = true
    void stopJobs()
  }
  const finish = async () => {
    drain()
    await stopJobs()
    while (deps.leases.held.size > 0) await sleep(POLL_MS)
  }
  return {
    deps,
    metrics,
    drain,
    finish,
    release: () => releaseLeases(deps),
    async close() {
      await finish()
      await metrics?.close()
      await app.close()
    },
  }
}

function refuseUnfit({ database, jobs, server }: Config): void {
  if (database.url === undefined) {
    throw new BootError(
      'DATABASE_URL is unset: the embedded database has one process, in which `serve` works too.',
    )
  }
  if (jobs.workers === 0) throw new BootError('WORKERS is 0: a worker would have nothing to do.')
  if (server.publicUrl === undefined) {
    throw new BootError('PUBLIC_URL is unset: webhooks name addresses of images by it.')
  }
}
