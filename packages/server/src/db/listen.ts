import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { CHANNEL, type Notification, parseNotification } from './notify.ts'

export type Unlisten = () => Promise<void>

export interface Hearing {
  onNotification(notification: Notification): void
  /** Some notifications may have been missed. */
  onGap(): void
}

interface Listening extends Hearing {
  onError(error: Error): void
}

/** Passes on what is understood. */
export function hear({ onNotification }: Pick<Hearing, 'onNotification'>, payload = ''): void {
  const notification = parseNotification(payload)
  if (notification !== undefined) onNotification(notification)
}

const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 5000
/** A connection that a firewall has dropped looks whole from here until something is sent. */
const PROBE_MS = 10_000
const PROBE_TIMEOUT_MS = 5000

/** LISTEN on a connection of its own, which is made anew whenever it breaks. */
export async function listen(connect: () => Client, listening: Listening): Promise<Unlisten> {
  const stopped = new AbortController()
  const { signal } = stopped
  let current = await open(connect, listening)
  const follow = async () => {
    while (!signal.aborted) {
      await untilBroken(current, signal)
      await current.end().catch(() => {})
      if (signal.aborted) return
      current = (await reopen(connect, listening, signal)) ?? current
      if (!signal.aborted) listening.onGap()
    }
  }
  const following = follow()
  return async () => {
    stopped.abort()
    await following
  }
}

async function open(connect: () => Client, listening: Listening): Promise<Client> {
  const client = connect()
  client.on('error', listening.onError)
  client.on('notification', ({ payload }) => hear(listening, payload))
  try {
    await client.connect()
    await client.query(`listen ${client.escapeIdentifier(CHANNEL)}`)
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
  return client
}

async function reopen(
  connect: () => Client,
  listening: Listening,
  signal: AbortSignal,
): Promise<Client | undefined> {
  for (
    let pauseMs = FIRST_PAUSE_MS;
    !signal.aborted;
    pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
  ) {
    try {
      return await open(connect, listening)
    } catch (error) {
      listening.onError(error as Error)
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }
  return undefined
}

async function untilBroken(client: Client, signal: AbortSignal): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    client.once('end', () => resolve())
    client.once('error', () => resolve())
  })
  const probe = async () => {
    for (;;) {
      await sleep(PROBE_MS, undefined, { signal })
      const late = sleep(PROBE_TIMEOUT_MS, undefined, { ref: false }).then(() => {
        throw new Error('the connection that listens does not answer')
      })
      await Promise.race([client.query('select 1'), late])
    }
  }
  await Promise.race([ended, probe().catch(() => {})])
}
