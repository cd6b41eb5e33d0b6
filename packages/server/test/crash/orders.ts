import { randomUUID } from 'node:crypto'

/** A wish of a client for pictures, and all that the service ever told of it. */
export interface Order {
  /** Stands in its prompt and nowhere else, so that calls of the provider can be told apart. */
  readonly prompt: string
  readonly n: number
  readonly idempotencyKey: string | undefined
  /** What `X-Generation-Id` and answers named; more than one is a second purchase. */
  readonly ids: Set<string>
  /** SHA-256 of the images of a 200. */
  pictures: readonly string[] | undefined
  deletion: 'none' | 'asked' | 'done'
}

/** Where the service is now, and the key that calls it. */
export interface Client {
  readonly url: string
  readonly key: string
}

const MAX_DELAY_MS = 150

export const newOrder = (index: number): Order => ({
  prompt: `${randomUUID()} [[success delayMs=${Math.floor(Math.random() * MAX_DELAY_MS)}]]`,
  n: 1 + (index % 2),
  idempotencyKey: index % 4 < 2 ? randomUUID() : undefined,
  ids: new Set(),
  pictures: undefined,
  deletion: 'none',
})

/** What a request may be told by a service that is whole, or was killed in an earlier one. */
const EXPECTED: Readonly<Record<number, readonly (string | undefined)[]>> = {
  200: [undefined],
  409: ['idempotency_in_progress'],
  503: ['unavailable'],
}

/** Sends it; resolves to what was answered amiss, or to nothing when the service died meanwhile. */
export async function place(client: Client, order: Order): Promise<string | undefined> {
  const response = await fetch(`${client.url}/v1/generate`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${client.key}`,
      'content-type': 'application/json',
      ...(order.idempotencyKey === undefined ? {} : { 'idempotency-key': order.idempotencyKey }),
    },
    body: JSON.stringify({
      prompt: order.prompt,
      n: order.n,
      model: 'nano-banana-2',
      size: '512',
    }),
  }).catch(() => undefined)
  if (response === undefined) return undefined
  const told = response.headers.get('x-generation-id')
  if (told !== null) order.ids.add(told)
  const body = await response.json().catch(() => undefined)
  if (body === undefined) return undefined
  const allowed = EXPECTED[response.status]
  if (allowed?.includes(body.error?.code) !== true) {
    return `${order.prompt} was answered ${response.status} ${JSON.stringify(body)}`
  }
  if (response.status === 200) {
    order.ids.add(body.id)
    order.pictures = body.images.map(({ sha256 }: { sha256: string }) => sha256)
  }
  return undefined
}

/** Deletes what an order came to. */
export async function remove({ url, key }: Client, order: Order): Promise<string | undefined> {
  const [id] = order.ids
  order.deletion = 'asked'
  const headers = { authorization: `Bearer ${key}` }
  const response = await fetch(`${url}/v1/generations/${id}`, { method: 'DELETE', headers }).catch(
    () => undefined,
  )
  if (response === undefined) return undefined
  if (response.status !== 204) return `${id} could not be deleted: ${response.status}`
  order.deletion = 'done'
  return undefined
}

const NEW_ORDERS = 12
const LANES = 3

/**
 * Places new orders, some twice at once, repeats those of earlier rounds that went unanswered, and
 * deletes one; resolves once the last has been answered or cut off, to all that was amiss.
 */
export async function work(client: Client, orders: Order[]): Promise<string[]> {
  const repeated = orders.filter(
    (order) => order.idempotencyKey !== undefined && order.pictures === undefined,
  )
  const old = orders.find((order) => order.pictures !== undefined && order.deletion === 'none')
  const fresh = Array.from({ length: NEW_ORDERS }, (_, index) => newOrder(index))
  orders.push(...fresh)
  const tasks = [...fresh, ...repeated].map((order, index) => async () => {
    const twin = index === 0 ? place(client, order) : undefined
    return [await place(client, order), await twin]
  })
  // Somewhere in the middle.
  if (old !== undefined) tasks.splice(NEW_ORDERS / 2, 0, async () => [await remove(client, old)])
  const lane = async () => {
    const faults: (string | undefined)[] = []
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
      faults.push(...(await task()))
    }
    return faults
  }
  const faults = await Promise.all(Array.from({ length: LANES }, lane))
  return faults.flat().filter((fault) => fault !== undefined)
}
