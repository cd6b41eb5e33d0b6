import { setTimeout as sleep } from 'node:timers/promises'
import { aim } from './aim.ts'
import { createKey } from './key.ts'
import { type Client, work } from './orders.ts'
import { isInner, planOf, type Point } from './points.ts'
import { type Running, startReleaseBuild, startTestBuild } from './processes.ts'
import { findBroken, findLost, promptsOfCalls, takeover } from './verify.ts'
import { createWorld, type Engine, type World } from './world.ts'

/** What one kill came to. */
export interface Round {
  readonly engine: Engine
  readonly round: number
  readonly point: Point
  readonly storage: string
  /** False: the work was done before the point came. */
  readonly reached: boolean
  /** From the restart until nothing ran any more. */
  readonly takeoverMs: number
  /** Orders placed so far, those that were answered 200, and calls that the provider counted. */
  readonly orders: number
  readonly answered: number
  readonly calls: number
  readonly faults: readonly string[]
}

/** Rounds on one database; with each, what all the rounds before left is checked again. */
const ROUNDS_PER_WORLD = 20
const END_HEARD_MS = 300

/** Runs rounds and tells of each as soon as its kill has been looked into. */
export async function runRounds(
  engine: Engine,
  { from, to }: { from: number; to: number },
  tell: (round: Round) => void,
): Promise<void> {
  for (let next = from; next < to;) {
    await using world = await createWorld(engine)
    next = await runPart(world, next, Math.min(next + ROUNDS_PER_WORLD, to), tell)
  }
}

/** Rounds on one database, until one of them cannot be looked into; answers where to go on. */
async function runPart(
  world: World,
  from: number,
  to: number,
  tell: (round: Round) => void,
): Promise<number> {
  let before: Killed | undefined
  for (let round = from; round <= to; round++) {
    try {
      before = await runRound(world, round === to ? undefined : round, before, tell)
    } catch (error) {
      const killed = before ?? { ...planOf(round), round, reached: false, faults: [] }
      tell(reportOf(world, killed, { takeoverMs: 0, calls: 0, faults: [String(error)] }))
      return killed.round + 1
    }
  }
  return to
}

type Killed = Pick<Round, 'round' | 'point' | 'storage' | 'reached' | 'faults'>

/** Starts the service, looks into the kill before, and kills it in the middle of its work. */
async function runRound(
  world: World,
  round: number | undefined,
  before: Killed | undefined,
  tell: (round: Round) => void,
): Promise<Killed | undefined> {
  const service = await startService(world, round)
  try {
    world.key ??= await createKey(service.url)
    const client = { url: service.url, key: world.key }
    if (before !== undefined) tell(await lookInto(world, client, before))
    if (round === undefined) return undefined
    const { point, nth, storage } = planOf(round)
    await using _aim = isInner(point) ? undefined : aim(world, service, point, nth)
    const faults = await work(client, world.orders)
    return { round, point, storage, reached: await hasEnded(service), faults }
  } finally {
    await service.kill()
  }
}

/** Of the build that the round is about; after the last round, of what is shipped. */
function startService({ env }: World, round: number | undefined): Promise<Running> {
  if (round === undefined) return startReleaseBuild({ ...env, STORAGE: 'disk' })
  const { point, nth, storage } = planOf(round)
  return isInner(point)
    ? startTestBuild({ ...env, STORAGE: storage, CRASH_AT: point, CRASH_NTH: String(nth) })
    : startReleaseBuild({ ...env, STORAGE: storage })
}

/** Its end is heard of a little later than its connections' ends are. */
const hasEnded = ({ ended }: Running): Promise<boolean> =>
  Promise.race([ended.then(() => true), sleep(END_HEARD_MS, false)])

async function lookInto(world: World, client: Client, killed: Killed): Promise<Round> {
  const takeoverMs = Math.round(await takeover(client))
  const lost = await findLost(client, world.orders)
  const faults = [...lost, ...(await findBroken(world))]
  return reportOf(world, killed, {
    takeoverMs,
    calls: (await promptsOfCalls(world)).length,
    faults,
  })
}

const reportOf = (
  { engine, orders }: World,
  killed: Killed,
  found: Pick<Round, 'takeoverMs' | 'calls' | 'faults'>,
): Round => ({
  ...killed,
  ...found,
  engine,
  orders: orders.length,
  answered: orders.filter(({ pictures }) => pictures !== undefined).length,
  faults: [...killed.faults, ...found.faults],
})
