import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Person } from './accounts.ts'
import { type Answer, ask } from './requests.ts'
import { faultsOf, type Heard, isOver, listen } from './streams.ts'

const KINDS = ['plain', 'wait', 'async', 'stream'] as const
export type Kind = (typeof KINDS)[number]

/** A wish for a picture, and all that its client was ever told of it. */
export interface Order {
  /** Stands in its prompt and nowhere else, so that calls of the provider can be told apart. */
  readonly prompt: string
  readonly kind: Kind
  /** The client repeats what went unanswered under it. */
  readonly idempotencyKey: string | undefined
  readonly images: readonly { data: string }[]
  readonly isToBeCanceled: boolean
  /** Where it is told to come back it listens, or looks again and again. */
  readonly listens: boolean
  /** What `X-Generation-Id` and answers named; more than one is a second purchase. */
  readonly ids: Set<string>
  /** It was told to come back, so it will find a picture. */
  isDetached: boolean
  /** The status with which it was told to have ended. */
  told: string | undefined
  readonly heard: Heard
  readonly troubles: string[]
}

export interface Mix {
  /** Of the provider, in milliseconds. */
  readonly delayMs: () => number
  readonly withKeys: boolean
  readonly withCancels: boolean
  readonly image: string | undefined
}

export function newOrder(index: number, mix: Mix): Order {
  const kind = KINDS[index % KINDS.length]!
  // Every share over every kind.
  const turn = Math.floor(index / KINDS.length)
  return {
    prompt: `${randomUUID()} [[success delayMs=${Math.round(mix.delayMs())}]]`,
    kind,
    idempotencyKey: mix.withKeys && turn % 3 === 0 ? randomUUID() : undefined,
    images: mix.image !== undefined && turn % 5 === 1 ? [{ data: mix.image }] : [],
    isToBeCanceled: mix.withCancels && turn % 6 === 5 && (kind === 'async' || kind === 'stream'),
    listens: turn % 2 === 0,
    ids: new Set(),
    isDetached: false,
    told: undefined,
    heard: { events: [], resumed: 0 },
    troubles: [],
  }
}

/** How a client behaves when something breaks. */
export interface Manner {
  /** Asks again where that can do no harm; otherwise each request is sent once. */
  readonly repeats: boolean
  readonly waitSeconds: () => number
}

const TRIES = 60
const PAUSE_MS = 500

/** Places an order and follows it to its end, as far as it may. */
export async function place(person: Person, order: Order, manner: Manner): Promise<void> {
  const { kind, idempotencyKey } = order
  const mayRepeat = manner.repeats && idempotencyKey !== undefined
  for (let left = mayRepeat ? TRIES : 1; left > 0; left--) {
    const isDone = await (kind === 'stream' ? stream : request)(person, order, manner)
    if (isDone || !mayRepeat) return
    await sleep(PAUSE_MS)
  }
  order.troubles.push('was never answered')
}

const bodyOf = ({ prompt, images }: Order) => ({
  prompt,
  model: 'nano-banana-2',
  size: '512',
  ...(images.length === 0 ? {} : { images }),
})

const keyOf = ({ idempotencyKey }: Order): Record<string, string> =>
  idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }

/** True: nothing is left to be asked. */
async function request(person: Person, order: Order, manner: Manner): Promise<boolean> {
  const preference: Record<Kind, Record<string, string>> = {
    plain: {},
    wait: { prefer: `wait=${manner.waitSeconds()}` },
    async: { prefer: 'respond-async' },
    stream: {},
  }
  const headers = { ...keyOf(order), ...preference[order.kind] }
  const answer = await ask(person, '/v1/generate', { method: 'POST', headers, body: bodyOf(order) })
  noteId(order, answer)
  if (answer.status === 200 && !answer.isCut) {
    order.told = answer.json.status
    return true
  }
  if (answer.status === 202 && !answer.isCut) {
    await followTo(person, order, answer.json.id, manner)
    return true
  }
  order.troubles.push(textOf(answer))
  return false
}

function noteId({ ids }: Order, { headers, json }: Pick<Answer, 'headers' | 'json'>): void {
  const named = headers.get('x-generation-id')
  if (named !== null) ids.add(named)
  if (typeof json?.id === 'string') ids.add(json.id)
}

const textOf = ({ status, isCut, json }: Answer): string =>
  isCut ? `was cut off (${status})` : `was answered ${status} ${json?.error?.code}`

/** Follows one that goes on, by looking or by listening, and cancels it meanwhile. */
async function followTo(person: Person, order: Order, id: string, manner: Manner): Promise<void> {
  order.isDetached = true
  const canceling = order.isToBeCanceled ? cancel(person, order, id, manner) : undefined
  if (order.listens) await listenToEnd(person, order, id, manner)
  else await lookToEnd(person, order, id, manner)
  await canceling
}

async function lookToEnd(person: Person, order: Order, id: string, manner: Manner): Promise<void> {
  const { repeats } = manner
  for (let left = TRIES * 4; left > 0; left--) {
    await sleep(PAUSE_MS / 2)
    const answer = await ask(person, `/v1/generations/${id}`)
    if (answer.status !== 200 || answer.isCut) order.troubles.push(`looked, and ${textOf(answer)}`)
    else if (answer.json.status !== 'queued' && answer.json.status !== 'running') {
      order.told = answer.json.status
      return
    }
    if (answer.isCut && !repeats) return
  }
  order.troubles.push('did not end')
}

async function cancel(person: Person, order: Order, id: string, manner: Manner): Promise<void> {
  await sleep(Math.random() * PAUSE_MS)
  for (let left = manner.repeats ? TRIES : 1; left > 0; left--) {
    const path = `/v1/generations/${id}/cancel`
    const answer = await ask(person, path, { method: 'POST' })
    if (answer.status === 200 && answer.json?.status === 'canceled') {
      order.told = 'canceled'
      return
    }
    if (answer.json?.error?.code === 'not_cancelable') return
    order.troubles.push(`canceled, and ${textOf(answer)}`)
    await sleep(PAUSE_MS)
  }
}

const codeOf = (body: string): string =>
  (JSON.parse(body) as { error: { code: string } }).error.code

async function stream(person: Person, order: Order, manner: Manner): Promise<boolean> {
  const { heard, ids } = order
  let canceling: Promise<void> | undefined
  const onEvent = () => {
    const id = heard.events[0]?.event.data.id
    if (id === undefined) return
    ids.add(id)
    if (order.isToBeCanceled) canceling ??= cancel(person, order, id, manner)
  }
  const wish = { method: 'POST', headers: keyOf(order), body: bodyOf(order) } as const
  // What a repeat tells begins at the beginning.
  heard.events.length = 0
  const first = await listen(person, '/v1/generate', wish, heard, onEvent)
  if (first.kind !== 'refused' && first.id !== null) ids.add(first.id)
  if (first.kind !== 'stream' || first.id === null) {
    const why = first.kind === 'refused' ? `refused: ${codeOf(first.body)}` : 'cut off'
    order.troubles.push(`its stream was ${why} (${first.kind === 'stream' ? 200 : first.status})`)
    return false
  }
  order.isDetached = true
  if (!isOver(heard)) {
    heard.resumed++
    await listenToEnd(person, order, first.id, manner)
  } else endOf(order)
  await canceling
  return true
}

/** Listens from the last event that was heard, again after each cut. */
async function listenToEnd(
  person: Person,
  order: Order,
  id: string,
  { repeats }: Manner,
): Promise<void> {
  const { heard } = order
  for (let left = TRIES; left > 0; left--) {
    const listened = await listen(person, `/v1/generations/${id}`, {}, heard)
    if (isOver(heard)) return endOf(order)
    if (listened.kind !== 'stream') {
      order.troubles.push(`its stream could not go on (${listened.status})`)
      if (!repeats) return
      await sleep(PAUSE_MS)
    } else heard.resumed++
  }
  order.troubles.push('its stream did not end')
}

function endOf(order: Order): void {
  const { heard } = order
  order.told = heard.events.at(-1)!.type.replace('generation.', '')
  order.troubles.push(...faultsOf(heard))
}
