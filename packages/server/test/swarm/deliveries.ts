import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import sharp from 'sharp'
import { findViolations } from '../../src/check/check.ts'
import { idOf } from '../../src/kernel/ids.ts'
import { countCalls } from '../crash/verify.ts'
import { noise } from '../pictures.ts'
import { type Person, register } from './accounts.ts'
import { type Fleet, type Instance, startFleet } from './fleet.ts'
import { type Inbox, openInbox } from './inbox.ts'
import { inLanes, type Report, tally } from './lanes.ts'
import { newOrder, type Order, place } from './orders.ts'

const LEASE_SECONDS = 5
const LANES = 24
const ENDPOINTS = {
  '/all': ['generation.succeeded', 'generation.failed', 'generation.canceled'],
  '/successes': ['generation.succeeded'],
} as const

/**
 * Every kind of delivery while processes are killed and started at random: whatever was accepted ends,
 * is charged once if it succeeded, and is told to every endpoint.
 */
export async function deliveries(isFull: boolean): Promise<Report> {
  await using fleet = await startFleet({
    servers: 3,
    workers: 2,
    env: { LEASE_SECONDS: String(LEASE_SECONDS), SYNC_TIMEOUT: '3', QUEUE_MAX_PER_ACCOUNT: '1000' },
  })
  await using inbox = await openInbox(moody)
  const person = await register(fleet.url, 'swarm')
  for (const [path, events] of Object.entries(ENDPOINTS)) {
    await inbox.subscribe(person, path, events)
  }
  const orders = await makeOrders(isFull ? 2000 : 120)
  const began = performance.now()
  const killer = startKiller([...fleet.servers, ...fleet.workers])
  const manner = { repeats: true, waitSeconds: () => 1 + Math.floor(Math.random() * 2) }
  await inLanes(LANES, orders, (order) => place(person, order, manner))
  const seconds = (performance.now() - began) / 1000
  const kills = await killer.stop()
  const faults = [
    ...kills.faults,
    ...(await untilQuiet(fleet)),
    ...(await findLost(fleet, orders)),
    ...(await findBroken(fleet, orders)),
    ...(await untilTold(fleet)),
    ...(await findUntold(fleet, inbox)),
    ...(await findClosed(person, orders)),
  ]
  return {
    faults,
    figures: [
      `${orders.length} generations in ${seconds.toFixed(0)} s, ${kills.count} processes killed`,
      ...(await figuresOf(fleet, orders, inbox)),
      ...loggedBy(fleet),
    ],
  }
}

/** One of so many messages is refused at first, another one never answered. */
const REFUSED = 12
const UNANSWERED = 100

function moody(path: string, id: string, earlier: number): number | undefined {
  if (earlier > 0) return 204
  const number = Buffer.from(path + id).reduce((sum, byte) => (sum * 31 + byte) % 65_521, 7)
  if (number % UNANSWERED === 0) return undefined
  return number % REFUSED === 0 ? 500 : 204
}

async function makeOrders(count: number): Promise<Order[]> {
  const image = (await noise(64, 64).png().toBuffer()).toString('base64')
  const mix = {
    // Some take longer than a server makes its callers wait.
    delayMs: () => (Math.random() < 0.1 ? 4000 : 100 + Math.random() * 800),
    withKeys: true,
    withCancels: true,
    image,
  }
  return Array.from({ length: count }, (_, index) => newOrder(index, mix))
}

const random = (from: number, to: number): number => from + Math.random() * (to - from)

const MAX_DOWN = 2

/** Kills one of them again and again, and starts it a little later. */
function startKiller(instances: readonly Instance[]) {
  const stopped = new AbortController()
  const { signal } = stopped
  const faults: string[] = []
  const restarts = new Set<Promise<void>>()
  let count = 0
  const restart = async (instance: Instance) => {
    await sleep(random(0, 2500))
    await instance.start().catch((error) => faults.push(`${instance.name} did not start: ${error}`))
  }
  const run = async () => {
    while (!signal.aborted) {
      await sleep(random(1000, 4000), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const alive = instances.filter(({ running }) => running !== undefined)
      const victim = alive[Math.floor(Math.random() * alive.length)]
      if (victim === undefined || instances.length - alive.length >= MAX_DOWN) continue
      await victim.kill()
      count++
      const restarting = restart(victim).finally(() => restarts.delete(restarting))
      restarts.add(restarting)
    }
  }
  const running = run()
  return {
    async stop() {
      stopped.abort()
      await running
      await Promise.all(restarts)
      return { count, faults }
    },
  }
}

const QUIET_MS = 60_000

/** Until nothing waits or runs any more. */
async function untilQuiet({ db }: Fleet): Promise<string[]> {
  const deadline = performance.now() + QUIET_MS
  for (;;) {
    const rows = await db
      .selectFrom('generations')
      .select(['id', 'status'])
      .where('status', 'in', ['queued', 'running'])
      .execute()
    if (rows.length === 0) return []
    if (performance.now() > deadline) return rows.map(({ id, status }) => `${id} is ${status}`)
    await sleep(200)
  }
}

/** Whatever contradicts what a client was told. */
async function findLost({ db }: Fleet, orders: readonly Order[]): Promise<string[]> {
  const rows = await db.selectFrom('generations').select(['id', 'status', 'error']).execute()
  const byId = new Map(rows.map((row) => [idOf('gen', row.id), row]))
  return orders.flatMap((order) => {
    const { ids, told, isDetached, isToBeCanceled, kind, troubles } = order
    const faults: string[] = []
    if (ids.size > 1) faults.push(`has the ids ${[...ids].join()}`)
    for (const id of ids) {
      const row = byId.get(id)
      if (row === undefined) faults.push(`${id} is not there`)
      else if (told !== undefined && row.status !== told) faults.push(`${id} is ${row.status}`)
      else if (isDetached && row.status !== 'succeeded' && !isToBeCanceled)
        faults.push(`${id} was accepted, and is ${row.status}: ${row.error?.message}`)
    }
    if (ids.size === 0 && (told !== undefined || isDetached)) faults.push('has no id')
    faults.push(...troubles.filter((trouble) => !isExpected(trouble)))
    return faults.map((fault) => `${kind} told ${told}: ${fault}; ${troubles.join(', ')}`)
  })
}

/** What clients of a process that is killed may meet. */
const EXPECTED = [
  /cut off/,
  /503 (unavailable|shutting_down)/,
  /409 idempotency_in_progress/,
  /could not go on \((0|50[234])\)/,
  /stream was refused: (unavailable|idempotency_in_progress)/,
]
const isExpected = (trouble: string): boolean => EXPECTED.some((one) => one.test(trouble))

async function findBroken(fleet: Fleet, orders: readonly Order[]): Promise<string[]> {
  const { db, objects, provider } = fleet
  const calls = await countCalls({ provider, orders }, db)
  const violations = await findViolations(db, objects, {
    upstream: { calls, perImage: 1 },
    limits: { defaultMicros: null },
  })
  const { rows: charged } = await sql<{ id: string; status: string; charges: number }>`
    select g.id, g.status, count(u.id)::int as charges from generations g
    left join usage u on u.generation_id = g.id and u.kind = 'settle'
    group by g.id
    having count(u.id) <> (g.status = 'succeeded')::int`.execute(db)
  const { rows: twice } = await sql<{ prompt: string }>`
    select prompt from generations group by prompt having count(*) > 1`.execute(db)
  return [
    ...violations.map(({ invariant, what, ids }) => `${invariant} ${what} ${ids.join()}`),
    ...charged.map(({ id, status, charges }) => `${id} is ${status}, with ${charges} charges`),
    ...twice.map(({ prompt }) => `two generations of ${prompt}`),
  ]
}

/** A claim of a process that died is another's after its lease of a minute. */
const TOLD_MS = 120_000

/**
 * Until no message waits, or none more has arrived for a while; those that were refused need not wait
 * for their minutes.
 */
async function untilTold({ db }: Fleet): Promise<string[]> {
  let deadline = performance.now() + TOLD_MS
  let left = Number.POSITIVE_INFINITY
  for (;;) {
    await sql`update webhook_deliveries set next_attempt_at = now()
      where next_attempt_at > now() and lease_expires_at is null`.execute(db)
    const { rows } = await sql<{ id: string }>`
      select id from webhook_deliveries where next_attempt_at is not null`.execute(db)
    if (rows.length === 0) return []
    if (rows.length < left) deadline = performance.now() + TOLD_MS
    left = Math.min(left, rows.length)
    if (performance.now() > deadline) return rows.map(({ id }) => `the message ${id} waits`)
    await sleep(500)
  }
}

/** Each end, of each attempt, has come to each endpoint at least once, and under one id. */
async function findUntold({ db }: Fleet, inbox: Inbox): Promise<string[]> {
  const rows = await db.selectFrom('generations').select(['id', 'status', 'attempt']).execute()
  const faults = [...inbox.faults]
  for (const [path, events] of Object.entries(ENDPOINTS)) {
    const came = Map.groupBy(
      inbox.messages.filter((message) => message.path === path),
      ({ generationId, type }) => `${generationId} ${type}`,
    )
    for (const { id, status, attempt } of rows) {
      const failed = attempt - 1 + Number(status === 'failed')
      const expected = {
        'generation.succeeded': Number(status === 'succeeded'),
        'generation.canceled': Number(status === 'canceled'),
        'generation.failed': failed,
      }
      for (const type of events) {
        const name = `${idOf('gen', id)} ${type}`
        const messages = came.get(name) ?? []
        came.delete(name)
        const sent = new Set(messages.map((one) => one.id)).size
        const taken = new Set(messages.filter((one) => one.isTaken).map((one) => one.id)).size
        if (sent !== expected[type] || taken !== sent)
          faults.push(`${path} has ${sent} ids and took ${taken} of ${name}, not ${expected[type]}`)
      }
    }
    for (const name of came.keys()) faults.push(`${path} was told ${name}, which never was`)
  }
  return faults
}

/** Pictures that clients were promised can be had. */
async function findClosed(person: Person, orders: readonly Order[]): Promise<string[]> {
  const faults: string[] = []
  const wanted = orders.filter(({ told }) => told === 'succeeded')
  await inLanes(8, wanted, async ({ ids }) => {
    const [id] = ids
    const headers = { authorization: `Bearer ${person.key}` }
    const read = await fetch(`${person.url}/v1/generations/${id}`, { headers })
    const { url } = (await read.json()) as { url: string }
    const picture = await fetch(url)
    const { width } = await sharp(await picture.arrayBuffer()).metadata()
    if (!picture.ok || width === undefined) faults.push(`${url} answers ${picture.status}`)
  })
  return faults
}

async function figuresOf({ db }: Fleet, orders: readonly Order[], inbox: Inbox): Promise<string[]> {
  const rows = await db.selectFrom('generations').select(['status', 'runs', 'detached']).execute()
  const again = rows.filter(({ runs }) => runs > 1).length
  const messages = new Set(inbox.messages.map(({ path, id }) => path + id)).size
  const resumed = orders.reduce((sum, { heard }) => sum + heard.resumed, 0)
  return [
    `as clients were told: ${tally(orders.map(({ told }) => told ?? 'nothing'))}`,
    `as they are: ${tally(rows.map(({ status }) => status))}; ${again} ran more than once`,
    `troubles of clients: ${tally(orders.flatMap(({ troubles }) => troubles)) || 'none'}`,
    `${resumed} times a stream went on after a cut`,
    `${messages} messages to endpoints, received ${inbox.messages.length} times`,
  ]
}

interface Logged {
  readonly msg?: string
  readonly task?: string
  readonly err?: { readonly message?: string }
}

/** What the processes said of errors, without what changes from line to line. */
export function loggedBy({ servers, workers }: Fleet): string[] {
  const lines = [...servers, ...workers].flatMap((instance) => instance.output().split('\n'))
  const told = lines.flatMap((line) => {
    if (!line.startsWith('{')) return []
    const { msg, task, err } = JSON.parse(line) as Logged
    return [`"${msg}${task === undefined ? '' : ` (${task})`}: ${err?.message ?? ''}"`]
  })
  return told.length === 0 ? [] : [`logged: ${tally(told)}`]
}
