import { setTimeout as sleep } from 'node:timers/promises'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

const PREFIX = 'nanobanana_'

/** Seconds, from a read by its id to a picture that took all its attempts. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

/** Gauges that are read when somebody asks; each is there once it is watched. */
const WATCHED = {
  http_requests_in_flight: ['HTTP requests that are at work, or wait for a generation.', ['state']],
  upload_bytes_in_flight: ['Bytes of room that the images of requests take.', []],
  db_connections: [
    'Database connections, by pool and state; waiting counts who has none.',
    ['pool', 'state'],
  ],
  queue_generations: ['Generations that have not ended, in the whole installation.', ['status']],
  queue_oldest_seconds: ['Age of the generation that has waited longest to be begun.', []],
  spool_objects: ['Images whose bytes wait for the object store.', []],
  spool_oldest_seconds: ['Age of the image that has waited longest for the object store.', []],
  webhook_deliveries_waiting: ['Webhook deliveries that are due, or wait for their next try.', []],
  webhook_oldest_seconds: ['How long the delivery that is overdue the longest has been so.', []],
} as const satisfies Record<string, readonly [help: string, labels: readonly string[]]>

export type WatchedGauge = keyof typeof WATCHED
type LabelOf<N extends WatchedGauge> = (typeof WATCHED)[N][1][number]

/** One value of a gauge. */
export interface Reading<Label extends string = string> {
  readonly labels?: Readonly<Record<Label, string>>
  readonly value: number
}

type Read<Label extends string> = () =>
  | readonly Reading<Label>[]
  | Promise<readonly Reading<Label>[]>

/** A value that takes longer is left out, so that a database which hangs does not hide the rest. */
const READ_TIMEOUT_MS = 1000

/**
 * What an operator watches. Every label has few values, none from a caller: a route's pattern, a model
 * of the catalogue, a code of the error table. One registry for each app, so that several can live in
 * a process.
 */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers })
  const seconds = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Histogram({ name: PREFIX + name, help, labelNames, registers, buckets: SECONDS })
  const watched = new Map<WatchedGauge, Read<string>[]>()
  let watchesProcess = false

  return {
    registry,

    httpRequests: counter('http_requests_total', 'HTTP requests that were answered.', [
      'method',
      'route',
      'status',
    ]),
    httpSeconds: seconds('http_request_duration_seconds', 'From the headers to the last byte.', [
      'method',
      'route',
    ]),
    overloads: counter(
      'http_overloads_total',
      'HTTP requests refused because too many were in flight, by whose share was used up.',
      ['share'],
    ),

    generations: counter('generations_total', 'Generations that ended.', [
      'model',
      'mode',
      'status',
      'code',
    ]),
    generationSeconds: seconds(
      'generation_duration_seconds',
      'From the request to the end of a generation, at its first attempt.',
      ['model', 'mode', 'status'],
    ),
    tokens: counter('tokens_total', 'Tokens of generations that succeeded.', [
      'model',
      'mode',
      'kind',
    ]),
    charged: counter('charged_micros_total', 'Micro-dollars charged to accounts.', ['model']),
    upstreamCost: counter(
      'upstream_cost_micros_total',
      'Micro-dollars that the provider has or may have billed, failures included.',
      ['model'],
    ),
    excesses: counter(
      'reservation_excess_total',
      'Generations that cost more than was set aside for them.',
      ['model'],
    ),
    excessMicros: counter(
      'reservation_excess_micros_total',
      'Micro-dollars by which generations cost more than was set aside.',
      ['model'],
    ),

    upstreamCalls: counter(
      'upstream_calls_total',
      'Calls to the provider by outcome; refused: the circuit breaker let none through.',
      ['model', 'outcome'],
    ),
    upstreamSeconds: seconds('upstream_call_duration_seconds', 'One call to the provider.', [
      'model',
    ]),
    upstreamRepeats: counter('upstream_repeats_total', 'Calls that were made again, by why.', [
      'model',
      'code',
    ]),
    breakerOpen: new Gauge({
      name: `${PREFIX}upstream_breaker_open`,
      help: 'Whether the circuit breaker of a model keeps calls back: 1 or 0.',
      labelNames: ['model'] as const,
      registers,
    }),

    storePuts: counter('store_puts_total', 'Images given to the object store.', [
      'storage',
      'outcome',
    ]),
    storeSeconds: seconds('store_put_duration_seconds', 'One image given to the object store.', [
      'storage',
    ]),
    rateLimited: counter('rate_limit_refusals_total', 'Calls that a rate limit refused.', ['rule']),
    rateLimitFallbacks: counter(
      'rate_limit_fallbacks_total',
      'Calls counted elsewhere because Redis was lost: in the database, or by each process.',
      ['store'],
    ),
    queryFailures: counter('db_failures_total', 'Database statements that failed, by class.', [
      'class',
    ]),

    /** Reads a gauge whenever somebody asks; several may add to one. */
    watch<N extends WatchedGauge>(name: N, read: Read<LabelOf<N>>): void {
      const readers = watched.get(name) ?? []
      if (readers.length === 0) registerGauge(registry, name, readers)
      readers.push(read)
      watched.set(name, readers)
    },

    /** Begins to measure the process itself: its loop's delay, memory, processor and collections. */
    watchProcess(): void {
      if (!watchesProcess) collectDefaultMetrics({ register: registry })
      watchesProcess = true
    },
  }
}

export type Metrics = ReturnType<typeof createMetrics>

function registerGauge(
  registry: Registry,
  name: WatchedGauge,
  readers: readonly Read<string>[],
): void {
  const [help, labelNames]: readonly [string, readonly string[]] = WATCHED[name]
  const gauge = new Gauge({
    name: PREFIX + name,
    help,
    labelNames,
    registers: [],
    async collect() {
      const answers = await Promise.all(readers.map(readInTime))
      this.reset()
      if (labelNames.length === 0) this.set(Number.NaN)
      for (const { labels = {}, value } of answers.flat()) this.set(labels, value)
    },
  })
  registry.registerMetric(gauge)
}

/** No number where none can be had: zero would look as if all were well. */
async function readInTime(read: Read<string>): Promise<readonly Reading[]> {
  const late = new AbortController()
  try {
    const silence = sleep(READ_TIMEOUT_MS, NOTHING, { ref: false, signal: late.signal })
    return await Promise.race([read(), silence])
  } catch {
    return NOTHING
  } finally {
    late.abort()
  }
}

const NOTHING: readonly Reading[] = []
