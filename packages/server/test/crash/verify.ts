import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { findViolations } from '../../src/check/check.ts'
import type { Db } from '../../src/db/client.ts'
import { uuidOf } from '../../src/kernel/ids.ts'
import type { Client, Order } from './orders.ts'
import { LEASE_SECONDS, type World } from './world.ts'

const TAKEOVER_MS = (LEASE_SECONDS + 5) * 1000
const POLL_MS = 100

async function get(client: Client, path: string) {
  const headers = { authorization: `Bearer ${client.key}` }
  const response = await fetch(client.url + path, { headers })
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, json: (await response.json()) as any }
}

/** Waits until nothing runs any more; resolves to the milliseconds that took. */
export async function takeover(client: Client): Promise<number> {
  const started = performance.now()
  for (;;) {
    const { status, json } = await get(client, '/v1/generations?status=running')
    if (status !== 200) throw new Error(`the list answers ${status} ${JSON.stringify(json)}`)
    const tookMs = performance.now() - started
    if (json.data.length === 0) return tookMs
    if (tookMs > TAKEOVER_MS) throw new Error(`${json.data.length} were never taken over`)
    await sleep(POLL_MS)
  }
}

/** All that contradicts what clients were told, one sentence each. */
export async function findLost(client: Client, orders: readonly Order[]): Promise<string[]> {
  const faults: string[] = []
  for (const order of orders) {
    if (order.ids.size > 1) faults.push(`${order.prompt} has the ids ${[...order.ids].join()}`)
    for (const id of order.ids) {
      const fault = await faultOf(client, order, id)
      if (fault !== undefined) faults.push(`${id} ${fault}`)
    }
  }
  return faults
}

async function faultOf(client: Client, order: Order, id: string): Promise<string | undefined> {
  const { status, json } = await get(client, `/v1/generations/${id}`)
  if (order.deletion !== 'none' && status === 404) return undefined
  if (order.deletion === 'done') return `was deleted, and answers ${status}`
  if (status !== 200) return `answers ${status}`
  if (json.status !== 'succeeded' && json.status !== 'failed') return `is still ${json.status}`
  if (order.pictures === undefined) return undefined
  if (json.status !== 'succeeded') return `was answered 200, and is ${json.status}`
  for (const [position, sha256] of order.pictures.entries()) {
    const found = await digestOf(json.images[position]?.url)
    if (found !== sha256) return `has ${found} in place of its image ${position}, ${sha256}`
  }
  return undefined
}

async function digestOf(url: string | undefined): Promise<string> {
  if (url === undefined) return 'nothing'
  const response = await fetch(url)
  if (!response.ok) return `a ${response.status}`
  return createHash('sha256')
    .update(Buffer.from(await response.arrayBuffer()))
    .digest('hex')
}

/** What the checker finds, and the prompts of which there are two generations. */
export const findBroken = (world: World): Promise<string[]> =>
  world.withDatabase(async (db) => {
    const violations = await findViolations(db, world.objects, {
      upstream: { calls: await countCalls(world, db), perImage: 1 },
      limits: { defaultMicros: null },
    })
    const told = violations.map(({ invariant, what, ids }) => `${invariant} ${what} ${ids.join()}`)
    return [...told, ...(await findTwice(db))]
  })

async function findTwice(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('generations')
    .select('prompt')
    .groupBy('prompt')
    .having((build) => build.fn.countAll(), '>', 1)
    .execute()
  return rows.map(({ prompt }) => `I6 two generations of ${prompt}`)
}

/** What the provider counts, and which prompts were whose. */
export interface Counted {
  readonly provider: Pick<World['provider'], 'url'>
  readonly orders: readonly Pick<Order, 'prompt' | 'ids'>[]
}

/** Calls of the provider by generation, since the world began: no answer of it asks for a repeat. */
export async function countCalls(world: Counted, db: Db): Promise<Map<string, number>> {
  const names = new Map<string, string>()
  for (const { ids, prompt } of world.orders) for (const id of ids) names.set(prompt, uuidOf(id))
  const rows = await db.selectFrom('generations').select(['id', 'prompt']).execute()
  for (const { id, prompt } of rows) names.set(prompt, id)
  const counts = new Map<string, number>()
  for (const prompt of await promptsOfCalls(world)) {
    const name = names.get(prompt) ?? prompt
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

interface LoggedCall {
  body?: { contents?: { parts?: { text?: string }[] }[] }
}

export async function promptsOfCalls({ provider }: Pick<Counted, 'provider'>): Promise<string[]> {
  const response = await fetch(`${provider.url}/__control/requests`)
  const { requests } = (await response.json()) as { requests: LoggedCall[] }
  return requests.flatMap(
    ({ body }) => body?.contents?.[0]?.parts?.find(({ text }) => text !== undefined)?.text ?? [],
  )
}
