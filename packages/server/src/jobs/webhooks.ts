import type { Deps } from '../kernel/deps.ts'
import { readCurrent } from '../features/generations/generations.service.ts'
import * as webhooks from '../features/webhooks/webhooks.service.ts'
import { startLooking } from './looking.ts'

const POLL_MS = 1000
/** After a look that failed, as while the database is away. */
const PAUSE_MS = 5000

/** Apart, so that endpoints which hang take no place from those that answer. */
const LANES = [
  { failing: false, places: 32 },
  { failing: true, places: 16 },
] as const

type JobDeps = webhooks.DeliverDeps & Pick<Deps, 'objectStore'>

export interface WebhookJob {
  /** Looks at once, where something is known to be due. */
  wake(): void
  /** Takes no more, and resolves once the attempts under way have been written. */
  stop(): Promise<void>
}

/** Sends what is due while the process runs. */
export function startWebhooks(deps: JobDeps): WebhookJob {
  const lanes = LANES.map((lane) => startLane(deps, lane))
  return {
    wake: () => lanes.forEach((lane) => lane.wake()),
    stop: async () => void (await Promise.all(lanes.map((lane) => lane.stop()))),
  }
}

function startLane(deps: JobDeps, { failing, places }: (typeof LANES)[number]): WebhookJob {
  const render: webhooks.Render = (userId, id) => readCurrent(deps, userId, id)

  const make = (claimed: Parameters<typeof webhooks.deliver>[1]): Promise<void> =>
    webhooks.deliver(deps, claimed, render).catch((error: unknown) =>
      // Its lease ends, and then it is due again.
      deps.log.error({ err: error, delivery: claimed.id }, 'a webhook could not be delivered'),
    )

  return startLooking(async (looking) => {
    if (looking.size >= places) return POLL_MS
    try {
      const claimed = await webhooks.claim(deps, { failing, limit: places - looking.size })
      for (const each of claimed) looking.track(make(each))
      return POLL_MS
    } catch (error) {
      deps.log.error({ err: error }, 'webhooks that are due could not be claimed')
      return PAUSE_MS
    }
  })
}
