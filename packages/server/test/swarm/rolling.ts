import { setTimeout as sleep } from 'node:timers/promises'
import { register } from './accounts.ts'
import { loggedBy } from './deliveries.ts'
import { type Instance, startFleet } from './fleet.ts'
import { percentile, type Report, tally } from './lanes.ts'
import { newOrder, type Order, place } from './orders.ts'

const LANES = 8
/** A balancer that has marked a process as down counts on it again after two checks. */
const NOTICED_MS = 3000

/**
 * Every process is replaced, one server at a time, again and again under load of every delivery, while
 * no client sends anything twice.
 */
export async function rolling(isFull: boolean): Promise<Report> {
  const rounds = isFull ? 20 : 1
  await using fleet = await startFleet({ servers: 3, workers: 2 })
  const person = await register(fleet.url, 'rolling')
  const load = startLoad((order) =>
    place(person, order, { repeats: false, waitSeconds: () => 1 + Math.floor(Math.random() * 2) }),
  )
  const faults: string[] = []
  const stops: number[] = []
  const roll = async (instances: readonly Instance[]) => {
    for (let round = 1; round <= rounds; round++) {
      for (const instance of instances) {
        const began = performance.now()
        const code = await instance.stop()
        stops.push(performance.now() - began)
        if (code !== 0) faults.push(`${instance.name} ended with ${code} in round ${round}`)
        await instance.start()
        await sleep(NOTICED_MS)
      }
    }
  }
  await Promise.all([roll(fleet.servers), roll(fleet.workers)])
  const orders = await load.stop()
  for (const order of orders) {
    const { kind, told, troubles, isDetached } = order
    if (told !== 'succeeded' || troubles.length > 0) {
      const state = isDetached ? 'accepted' : 'not accepted'
      faults.push(`${kind} (${state}) was told ${told}: ${troubles.join('; ')}`)
    }
  }
  const resumed = orders.reduce((sum, { heard }) => sum + heard.resumed, 0)
  return {
    faults,
    figures: [
      `${rounds} restarts of each of 5 processes under ${orders.length} generations, ${tally(orders.map(({ kind }) => kind))}`,
      `as clients were told: ${tally(orders.map(({ told }) => told ?? 'nothing'))}`,
      `a stop took ${percentile(stops, 50).toFixed(0)} ms at the median, ${Math.max(...stops).toFixed(0)} ms at most`,
      `${resumed} times a stream was ended early and went on elsewhere, with no event missed`,
      ...loggedBy(fleet),
    ],
  }
}

/** Orders one after the other in every lane, until it is stopped. */
function startLoad(placeOne: (order: Order) => Promise<void>) {
  const orders: Order[] = []
  const stopped = new AbortController()
  const mix = {
    // Some take longer than a server that stops serves on.
    delayMs: () => (Math.random() < 0.2 ? 8000 : 200 + Math.random() * 800),
    withKeys: false,
    withCancels: false,
    image: undefined,
  }
  const lane = async () => {
    while (!stopped.signal.aborted) {
      const order = newOrder(orders.length, mix)
      orders.push(order)
      await placeOne(order)
    }
  }
  const running = Promise.all(Array.from({ length: LANES }, lane))
  return {
    async stop(): Promise<readonly Order[]> {
      stopped.abort()
      await running
      return orders
    },
  }
}
