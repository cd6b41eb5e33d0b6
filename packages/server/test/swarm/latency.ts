import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase } from '../crash/databases.ts'
import { type Env, startProvider, startReleaseBuild } from '../crash/processes.ts'
import { startWitness } from '../crash/witness.ts'
import { register } from './accounts.ts'
import { HIGH } from './fleet.ts'
import { percentile, type Report } from './lanes.ts'
import { ask } from './requests.ts'

const ENGINES = ['postgres', 'pglite'] as const
const MAX_MS = 20
/** The one before has ended and rests. */
const PAUSE_MS = 60

/** How soon after its 202 a generation is begun where nothing else waits. */
export async function latency(isFull: boolean): Promise<Report> {
  const figures: string[] = []
  const faults: string[] = []
  for (const engine of ENGINES) {
    const delays = await measure(engine, isFull ? 300 : 30)
    const p50 = percentile(delays, 50)
    figures.push(
      `${engine}: from the 202 to the call of the provider ${p50.toFixed(1)} ms at the median, ${percentile(delays, 99).toFixed(1)} ms at p99`,
    )
    if (isFull && p50 > MAX_MS) faults.push(`${engine}: more than ${MAX_MS} ms at the median`)
  }
  return { figures, faults }
}

async function measure(engine: (typeof ENGINES)[number], count: number): Promise<number[]> {
  await using opened = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-latency-'))
  opened.defer(() => rm(folder, { recursive: true, force: true }))
  const provider = await startProvider()
  opened.defer(() => provider.kill())
  const upstream = opened.use(await startWitness(provider.url))
  const database: Env = engine === 'postgres' ? { DATABASE_URL: await createDatabase(opened) } : {}
  const service = await startReleaseBuild({
    ...HIGH,
    ...database,
    DATA_DIR: folder,
    PORT: '0',
    JWT_SECRET: randomBytes(32).toString('base64url'),
    STORAGE: 'disk',
    LOG_LEVEL: 'fatal',
    BCRYPT_COST: '10',
    GEMINI_API_KEY: 'x',
    GEMINI_BASE_URL: upstream.url,
  })
  opened.defer(() => service.kill())
  const person = await register(service.url, 'latency')
  const delays: number[] = []
  const body = { prompt: 'a banana', model: 'nano-banana-2', size: '512' }
  const wish = { method: 'POST', headers: { prefer: 'respond-async' }, body } as const
  // The first ones find nothing compiled.
  for (let n = -10; n < count; n++) {
    const call = Promise.withResolvers<number>()
    const end = Promise.withResolvers<void>()
    upstream.listener = (event) => {
      if (event === 'begun') call.resolve(performance.now())
      else end.resolve()
    }
    const answer = await ask(person, '/v1/generate', wish)
    if (answer.status !== 202) throw new Error(`answered ${answer.status}`)
    const accepted = performance.now()
    const called = await call.promise
    if (n >= 0) delays.push(Math.max(0, called - accepted))
    await end.promise
    await sleep(PAUSE_MS)
  }
  return delays
}
