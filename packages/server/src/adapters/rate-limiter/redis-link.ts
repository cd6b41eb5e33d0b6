import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'

const CONNECT_TIMEOUT_MS = 1000
const MAX_RECONNECT_WAIT_MS = 1000

export interface RedisLinkOptions {
  readonly url: string
  readonly log: Pick<BaseLogger, 'warn' | 'info'>
  /** An answer that takes longer is none; default 250. */
  readonly commandTimeoutMs?: number
  /** Once lost, Redis is asked by one call in this time, and the others do not wait for it; default 1000. */
  readonly probeIntervalMs?: number
}

/** A connection that may be lost at any time and comes back by itself. */
export interface RedisLink {
  readonly client: Redis
  /** Undefined: Redis is lost. A store's error never leaves this function, and it is logged once a loss. */
  ask<T>(question: () => Promise<T>): Promise<T | undefined>
  close(): void
}

/** Connects with the first question. */
export async function createRedisLink(options: RedisLinkOptions): Promise<RedisLink> {
  const { log, commandTimeoutMs = 250, probeIntervalMs = 1000 } = options
  const client = await createClient(options.url)
  let connecting: Promise<unknown> | undefined
  let probeAt: number | undefined
  let trouble: Error | undefined
  // Unheard, it would end the process; that a call fails tells of it once.
  client.on('error', (error: Error) => (trouble = error))
  client.on('ready', () => (trouble = undefined))

  function lose(error: unknown): void {
    // Only the words: the error of a command carries its arguments, and those of AUTH are the password.
    const reason = (trouble ?? (error as Error)).message
    if (probeAt === undefined) log.warn({ reason }, 'the rate limiter lost Redis')
    probeAt = performance.now() + probeIntervalMs
  }

  function find(): void {
    if (probeAt !== undefined) log.info('the rate limiter has Redis again')
    probeAt = undefined
  }

  return {
    client,
    async ask(question) {
      const probing = probeAt !== undefined
      if (probeAt !== undefined) {
        if (performance.now() < probeAt) return undefined
        probeAt = performance.now() + probeIntervalMs
      }
      try {
        connecting ??= Promise.race([
          client.connect().catch(() => {}),
          sleep(CONNECT_TIMEOUT_MS, undefined, { ref: false }),
        ])
        await connecting
        const answer = await within(commandTimeoutMs, question())
        // An answer to what was asked before the loss says nothing about the time after.
        if (probing) find()
        return answer
      } catch (error) {
        lose(error)
        return undefined
      }
    },
    close: () => client.disconnect(),
  }
}

/**
 * Rejects when nothing came for so long. What came while this process was busy is read first, or it
 * would take a quick Redis for a slow one: the client's own timeout does.
 */
async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => setImmediate(() => reject(new Error(`no answer within ${ms} ms`))), ms)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

async function createClient(url: string): Promise<Redis> {
  const { Redis } = await import('ioredis')
  return new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(50 * 2 ** times, MAX_RECONNECT_WAIT_MS),
    // After a failover the old primary is a replica; a new connection finds the new one.
    reconnectOnError: ({ message }) => message.startsWith('READONLY'),
  })
}
