import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { memoryOf, megabytes, resetPeak } from '../long/measure.ts'
import { type Person, register } from './accounts.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { percentile, type Report, tally } from './lanes.ts'
import { type Answer, ask } from './requests.ts'

/** How long the provider takes; long enough that places run out before the processor does. */
const UPSTREAM_MS = 4000
/** Places of one process: 64 for requests that wait, and those of its workers. */
const WORKERS = 16
const PLACES = 64 + WORKERS
const PER_SECOND = PLACES / (UPSTREAM_MS / 1000)
const ACCOUNTS = 10

const MORE = 10
const MAX_RSS_TIMES = 1.3
const MAX_RSS_PLUS = 64e6
const MAX_REFUSAL_MS = 50
const MIN_GOODPUT = 0.9
const MAX_RECOVERY_MS = 10_000
const MAX_HEALTH_MS = 1000
const MAX_SLOWER = 2

/** Ten times of what one process can take: it takes as much as before, and refuses the rest quickly. */
export async function overload(isFull: boolean): Promise<Report> {
  const seconds = isFull ? 60 : 10
  await using fleet = await startFleet({
    servers: 1,
    workers: 0,
    env: { WORKERS: String(WORKERS), QUEUE_MAX: String(WORKERS) },
  })
  const people: Person[] = []
  // One after the other: a process hashes but a few passwords at once. And past the balancer, which
  // would queue what is to be refused.
  for (let n = 0; n < ACCOUNTS; n++) {
    const person = await register(fleet.url, `caller${n}`)
    people.push({ ...person, url: fleet.servers[0]!.url! })
  }
  const parts = [await storm(fleet, people, seconds), await flood(people, seconds)]
  return {
    figures: parts.flatMap(({ figures }) => figures),
    faults: parts.flatMap(({ faults }) => faults),
  }
}

async function storm(fleet: Fleet, people: readonly Person[], seconds: number): Promise<Report> {
  const { pid } = fleet.servers[0]!.running!
  // Long enough that all of it has been used before.
  await load(fleet, people, PER_SECOND, UPSTREAM_MS / 1000 + 2)
  await resetPeak(pid)
  const steady = await load(fleet, people, PER_SECOND, Math.max(20, seconds / 3))
  const before = (await memoryOf(pid)).peak
  await resetPeak(pid)
  const health = startProbe(`${people[0]!.url}/healthz`)
  const heavy = await load(fleet, people, MORE * PER_SECOND, seconds)
  const recoveryMs = await untilAsBefore(people[0]!)
  const { peak } = await memoryOf(pid)
  const probes = await health.stop()
  await heavy.all
  const refused = heavy.answers.filter(({ status }) => status === 503 || status === 429)
  const strange = heavy.answers.filter(
    ({ status, headers }) =>
      ![200, 202].includes(status) &&
      !([429, 503].includes(status) && Number(headers.get('retry-after')) > 0),
  )
  const refusalMs = percentile(
    refused.map(({ ms }) => ms),
    50,
  )
  const checks: [boolean, string][] = [
    [probes.failed > 0, `/healthz failed ${probes.failed} times`],
    [peak > MAX_RSS_TIMES * before + MAX_RSS_PLUS, 'memory grew'],
    [strange.length > 0, `answers: ${tally(strange.map(textOf))}`],
    [refused.length === 0, 'nothing was refused'],
    [refusalMs > MAX_REFUSAL_MS, 'refusals are slow'],
    [heavy.goodput < MIN_GOODPUT * steady.goodput, 'less was made than before'],
    [recoveryMs > MAX_RECOVERY_MS, 'it did not recover'],
  ]
  return {
    faults: checks.flatMap(([isBroken, what]) => (isBroken ? [what] : [])),
    figures: [
      `at capacity (${PER_SECOND} a second): ${steady.goodput.toFixed(1)} pictures a second, ${megabytes(before)} at most`,
      `at ${MORE} times of it, ${heavy.answers.length} calls in ${seconds} s: ${heavy.goodput.toFixed(1)} pictures a second, ${megabytes(peak)} at most`,
      `answers: ${tally(heavy.answers.map(textOf))}`,
      `refused in ${refusalMs.toFixed(0)} ms at the median; as before ${recoveryMs.toFixed(0)} ms later`,
      `/healthz ${probes.count} times, ${probes.maxMs.toFixed(0)} ms at most`,
    ],
  }
}

const textOf = ({ status, json }: Answer): string =>
  json?.error?.code === undefined ? `${status}` : `${status} ${json.error.code}`

const BODY = {
  prompt: `a banana [[success delayMs=${UPSTREAM_MS}]]`,
  model: 'nano-banana-2',
  size: '512',
}

let addresses = 0
/** Each call from an address of its own: not what one address may have is the question. */
const generate = (person: Person): Promise<Answer> => {
  const address = ++addresses
  const from = `10.${(address >> 16) & 255}.${(address >> 8) & 255}.${address & 255}`
  const headers = { 'x-forwarded-for': from }
  return ask(person, '/v1/generate', { method: 'POST', headers, body: BODY })
}

/** Calls at a rate, whatever becomes of them; pictures are counted from the first that can be there. */
async function load(
  { db }: Fleet,
  people: readonly Person[],
  perSecond: number,
  seconds: number,
): Promise<{ answers: Answer[]; goodput: number; all: Promise<unknown> }> {
  const answers: Answer[] = []
  const calls: Promise<unknown>[] = []
  const { rows } = await sql<{ now: Date }>`select now()`.execute(db)
  const began = performance.now()
  for (let elapsed = 0; elapsed < seconds; elapsed = (performance.now() - began) / 1000) {
    while (calls.length < elapsed * perSecond) {
      const person = people[calls.length % people.length]!
      calls.push(generate(person).then((answer) => answers.push(answer)))
    }
    await sleep(5)
  }
  const { rows: made } = await sql<{ perSecond: number }>`
    select count(*)::float8 / extract(epoch from
      now() - ${rows[0]!.now}::timestamptz - make_interval(secs => ${UPSTREAM_MS / 1000}::float8))
      as "perSecond"
    from generations where status = 'succeeded' and completed_at > ${rows[0]!.now}
      and created_at > ${rows[0]!.now}`.execute(db)
  return { answers, goodput: Number(made[0]!.perSecond), all: Promise.all(calls) }
}

/** Until a call that waits is answered in about the time that the provider takes. */
async function untilAsBefore(person: Person): Promise<number> {
  const began = performance.now()
  for (;;) {
    const asked = performance.now()
    const { status, ms } = await generate(person)
    if (status === 200 && ms < 1.5 * UPSTREAM_MS) return asked - began
    if (asked - began > 3 * MAX_RECOVERY_MS) return Number.POSITIVE_INFINITY
    await sleep(100)
  }
}

function startProbe(url: string) {
  const stopped = new AbortController()
  const found = { count: 0, failed: 0, maxMs: 0 }
  const run = async () => {
    while (!stopped.signal.aborted) {
      const began = performance.now()
      const response = await fetch(url, { signal: AbortSignal.timeout(MAX_HEALTH_MS) }).catch(
        () => undefined,
      )
      found.count++
      found.maxMs = Math.max(found.maxMs, performance.now() - began)
      if (response?.status !== 200) found.failed++
      await response?.arrayBuffer()
      await sleep(100)
    }
  }
  const running = run()
  return {
    async stop() {
      stopped.abort()
      await running
      return found
    },
  }
}

const MODEST_PER_SECOND = 2

/** One account floods; another one, which asks for little, is served as if nobody did. */
async function flood(people: readonly Person[], seconds: number): Promise<Report> {
  const [modest, flooding] = people as [Person, Person]
  const alone = await modestly(modest, seconds)
  const stop = startFlood(flooding)
  await sleep(UPSTREAM_MS)
  const beside = await modestly(modest, seconds)
  const flooded = await stop()
  const failed = [...alone, ...beside].filter(({ status }) => status !== 200)
  const p99 = (answers: readonly Answer[]) =>
    percentile(
      answers.map(({ ms }) => ms),
      99,
    )
  return {
    figures: [
      `one account floods (${tally(flooded.map(textOf))}): another one waits ${p99(beside).toFixed(0)} ms at p99, ${p99(alone).toFixed(0)} ms without it`,
    ],
    faults: [
      ...(failed.length > 0 ? [`beside a flood: ${tally(failed.map(textOf))}`] : []),
      ...(p99(beside) > MAX_SLOWER * p99(alone) ? ['one account keeps another one waiting'] : []),
    ],
  }
}

async function modestly(person: Person, seconds: number): Promise<Answer[]> {
  const calls: Promise<Answer>[] = []
  for (let n = 0; n < seconds * MODEST_PER_SECOND; n++) {
    calls.push(generate(person))
    await sleep(1000 / MODEST_PER_SECOND)
  }
  return Promise.all(calls)
}

function startFlood(person: Person): () => Promise<Answer[]> {
  const calls: Promise<Answer>[] = []
  const timer = setInterval(() => calls.push(generate(person)), 1000 / (MORE * PER_SECOND))
  return () => {
    clearInterval(timer)
    return Promise.all(calls)
  }
}
