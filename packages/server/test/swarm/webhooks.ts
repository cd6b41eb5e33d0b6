import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { idOf } from '../../src/kernel/ids.ts'
import { type Person, register } from './accounts.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type Inbox, openInbox } from './inbox.ts'
import { inLanes, percentile, type Report, tally } from './lanes.ts'
import { newOrder, place } from './orders.ts'

const ENDS = ['generation.succeeded', 'generation.failed', 'generation.canceled']
/** An address that was signed at the first attempt would have expired by the last. */
const URL_TTL_SECONDS = 5
const DOWN_SECONDS = 3 * 3600
const MAX_SLOWER = 2
const MAX_SLOWER_MS = 50

/** What endpoints that are away or never answer cost themselves, and nobody else. */
export async function webhooks(isFull: boolean): Promise<Report> {
  await using fleet = await startFleet({
    servers: 1,
    workers: 1,
    env: { URL_TTL: String(URL_TTL_SECONDS) },
  })
  await using inbox = await openInbox()
  const parts = [
    await comesBack(fleet, inbox, isFull ? 100 : 20),
    await hangs(fleet, inbox, isFull ? 400 : 120),
  ]
  return {
    figures: parts.flatMap(({ figures }) => figures),
    faults: [...parts.flatMap(({ faults }) => faults), ...inbox.faults],
  }
}

/** The endpoint is down for three hours, as the stored times have it. */
async function comesBack(fleet: Fleet, inbox: Inbox, count: number): Promise<Report> {
  const person = await register(fleet.url, 'down')
  await inbox.subscribe(person, '/down', ENDS)
  let isDown = true
  inbox.mood = () => (isDown ? 503 : 204)
  const troubles = await makeSome(person, count)
  let shifted = 0
  while (shifted < DOWN_SECONDS) {
    await untilIdle(fleet)
    const seconds = await shiftToNext(fleet, DOWN_SECONDS - shifted)
    if (seconds === undefined) break
    shifted += seconds
  }
  await untilIdle(fleet)
  const refused = inbox.messages.length
  await sleep(URL_TTL_SECONDS * 1000)
  isDown = false
  inbox.opensPictures = true
  for (;;) {
    await untilIdle(fleet)
    if ((await shiftToNext(fleet, Number.POSITIVE_INFINITY)) === undefined) break
  }
  return {
    figures: [
      `down for ${shifted / 3600} hours: ${refused} attempts failed, ${inbox.messages.length - refused} of ${count} messages came after`,
    ],
    faults: [...troubles, ...(await findMissing(fleet, inbox, '/down', count))],
  }
}

async function makeSome(person: Person, count: number): Promise<string[]> {
  const mix = { delayMs: () => 100, withKeys: false, withCancels: false, image: undefined }
  const orders = Array.from({ length: count }, (_, index) => newOrder(index, mix))
  const manner = { repeats: false, waitSeconds: () => 5 }
  await inLanes(6, orders, (order) => place(person, order, manner))
  return orders.flatMap(({ kind, troubles }) => troubles.map((trouble) => `${kind} ${trouble}`))
}

/** Until nothing is due or under way. */
async function untilIdle({ db }: Fleet): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from webhook_deliveries
      where next_attempt_at <= now() or lease_expires_at is not null`.execute(db)
    if (rows[0]?.count === 0) return
    await sleep(200)
  }
}

/** Lets the time until the next attempt go by, but no more than so much; undefined: there is none. */
async function shiftToNext({ db }: Fleet, maxSeconds: number): Promise<number | undefined> {
  const { rows } = await sql<{ seconds: number | null }>`
    select extract(epoch from max(next_attempt_at) - now())::float8 as seconds
    from webhook_deliveries where next_attempt_at is not null`.execute(db)
  const left = rows[0]?.seconds ?? undefined
  if (left === undefined) return undefined
  const seconds = Math.min(Math.max(0, left), maxSeconds)
  const shift = sql`make_interval(secs => ${seconds}::float8)`
  await db.transaction().execute(async (tx) => {
    await sql`update webhook_deliveries set next_attempt_at = next_attempt_at - ${shift},
      created_at = created_at - ${shift}, touched_at = touched_at - ${shift}
      where next_attempt_at is not null`.execute(tx)
    await sql`update webhooks set failing_since = failing_since - ${shift}
      where failing_since is not null`.execute(tx)
  })
  return seconds
}

async function findMissing(
  { db }: Fleet,
  inbox: Inbox,
  path: string,
  count: number,
): Promise<string[]> {
  const taken = inbox.messages.filter((message) => message.path === path && message.isTaken)
  const faults = taken.length === count ? [] : [`${taken.length} messages of ${count} arrived`]
  const rows = await db.selectFrom('generations').select('id').execute()
  for (const { id } of rows) {
    const sent = inbox.messages.filter(({ generationId }) => generationId === idOf('gen', id))
    if (new Set(sent.map((message) => message.id)).size !== 1)
      faults.push(`${idOf('gen', id)} was told under ${sent.length} ids`)
  }
  const statuses = await Promise.all(inbox.opened(path))
  if (statuses.length !== count || statuses.some((status) => status !== 200))
    faults.push(`of ${count} pictures ${statuses.length} were told: ${tally(statuses.map(String))}`)
  return faults
}

/** One endpoint takes connections and never answers; another one is told as soon as without it. */
async function hangs(fleet: Fleet, inbox: Inbox, count: number): Promise<Report> {
  const person = await register(fleet.url, 'hanging')
  inbox.opensPictures = false
  await inbox.subscribe(person, '/good', ENDS)
  inbox.mood = (path) => (path === '/dead' ? undefined : 204)
  const alone = await measure(fleet, inbox, person, count)
  await inbox.subscribe(person, '/dead', ENDS)
  const beside = await measure(fleet, inbox, person, count)
  const attempts = inbox.messages.filter(({ path }) => path === '/dead').length
  const limit = MAX_SLOWER * alone.p99 + MAX_SLOWER_MS
  return {
    figures: [
      `told within ${textOf(alone)}; beside an endpoint that never answers ${textOf(beside)}, which was tried ${attempts} times`,
    ],
    faults:
      beside.p99 <= limit ? [] : [`beside a dead endpoint p99 is ${beside.p99.toFixed(0)} ms`],
  }
}

interface Delays {
  readonly p50: number
  readonly p99: number
}

const textOf = ({ p50, p99 }: Delays): string =>
  `${p50.toFixed(0)} ms at the median, ${p99.toFixed(0)} ms at p99`

/** From the end of a generation until the good endpoint hears of it; one clock for both. */
async function measure(
  { db }: Fleet,
  inbox: Inbox,
  person: Person,
  count: number,
): Promise<Delays> {
  const before = inbox.messages.length
  await makeSome(person, count)
  const heard = () => inbox.messages.slice(before).filter(({ path }) => path === '/good')
  while (heard().length < count) await sleep(100)
  const rows = await db.selectFrom('generations').select(['id', 'completed_at']).execute()
  const ends = new Map(rows.map(({ id, completed_at }) => [idOf('gen', id), completed_at]))
  const delays = heard().map(
    ({ at, generationId }) => at.getTime() - ends.get(generationId)!.getTime(),
  )
  return { p50: percentile(delays, 50), p99: percentile(delays, 99) }
}
