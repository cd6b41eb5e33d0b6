import { createServer } from 'node:net'
import { type Emulator, startEmulator } from '@nanobanana/gemini-emulator'
import { sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { BootError, loadConfig } from '../src/config.ts'
import { createMetrics } from '../src/kernel/metrics.ts'
import { ObjectStoreError } from '../src/ports/object-store.ts'
import { createService, type Service } from '../src/service.ts'
import { parseExposition } from './exposition.ts'
import {
  type Account,
  createTestApp,
  createTestDatabase,
  ENGINE,
  JWT_SECRET,
  type TestApp,
} from './harness.ts'

const MODEL = 'gemini-nano-banana-2.1'
const CANARIES = {
  JWT_SECRET: 'canary-jwt-secret-0123456789-abcdefghij',
  API_KEY_PEPPER: 'canary-pepper-9876543210-zyxwvutsrqpo',
  GEMINI_API_KEY: 'AIza-canary-of-the-upstream-key-000002',
  REGISTRATION_TOKEN: 'canary-registration-token-1234567',
}

let emulator: Emulator
let app: TestApp
let user: Account
let key: string
let url: string
beforeAll(async () => {
  emulator = await startEmulator({ signatureBytes: 64 })
  app = await createTestApp({
    env: { ...CANARIES, METRICS_PORT: '0', GEMINI_BASE_URL: emulator.url },
  })
  await app.listen()
  url = metricsUrl(app.service)
  user = await app.register()
  key = (await app.createKey(user, { mode: 'live' })).key
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await emulator.close()
})

function metricsUrl({ metrics }: Service): string {
  const { address, port } = metrics!.server.address() as { address: string; port: number }
  return `http://${address}:${port}`
}

const scrape = async (from = url) => {
  const response = await fetch(`${from}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parseExposition(await response.text())
}
/** By how much samples grew. */
async function growthOf(work: () => Promise<unknown>): Promise<(sample: string) => number> {
  const before = await scrape()
  await work()
  const after = await scrape()
  return (sample) => (after.get(sample) ?? 0) - (before.get(sample) ?? 0)
}
const generate = (prompt: string) =>
  app.request('POST', '/v1/generate', { token: key, body: { prompt } })

describe('/metrics', () => {
  test('is the text format of Prometheus, and tells of the process too', async () => {
    const samples = await scrape()
    const names = new Set([...samples.keys()].map((sample) => sample.replace(/[{ ].*/, '')))
    for (const name of ['p50', 'p99', 'max']) {
      expect(names).toContain(`nodejs_eventloop_lag_${name}_seconds`)
    }
    expect(names).toContain('process_resident_memory_bytes')
    expect(samples.get('nanobanana_upload_bytes_in_flight')).toBe(0)
  })

  test('is not on the port that the world reaches', async () => {
    const main = await app.request('GET', '/metrics')
    expect(main.status).toBe(404)
    expect(main.json.error.code).toBe('route_not_found')
    expect(app.service.http.routes.map((route) => route.url)).not.toContain('/metrics')
  })

  test('stands beside the health of the process, and beside nothing else', async () => {
    const status = async (path: string) => (await fetch(url + path)).status
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 200])
    for (const path of ['/', '/docs', '/openapi.json', '/v1/models', '/v1/auth/me', '/trpc/models'])
      expect(await status(path), path).toBe(404)
  })

  test('holds no secret, and nothing that a caller sent', async () => {
    const words = 'a canary that sings of nothing'
    expect((await generate(words)).status).toBe(200)
    await app.request('GET', `/v1/models?canary-query=${key}`, { token: key })
    await app.request('GET', '/canary-path', { headers: { 'user-agent': 'canary-agent' } })
    await app.request('POST', '/v1/generate', {
      token: key,
      body: { prompt: 'x', model: 'canary-model' },
    })
    const text = await (await fetch(`${url}/metrics`)).text()
    const secrets = [...Object.values(CANARIES), key, key.slice(0, 14), user.token, user.email]
    for (const secret of [...secrets, user.id, words]) expect(text).not.toContain(secret)
    expect(text.toLowerCase()).not.toContain('canary')
  })
})

describe('what is counted', () => {
  test('requests by the pattern of their route, never by its path', async () => {
    const growth = await growthOf(async () => {
      for (const id of ['gen_01jd5xk3f8e2r9v7m6q4t0w1yz', 'gen_01jd5xk3f8e2r9v7m6q4t0w1yy'])
        await app.request('GET', `/v1/generations/${id}`, { token: key })
      await app.request('GET', '/somewhere')
    })
    const one = 'method="GET",route="/v1/generations/:id"'
    expect(growth(`nanobanana_http_requests_total{${one},status="4xx"}`)).toBe(2)
    expect(growth(`nanobanana_http_request_duration_seconds_count{${one}}`)).toBe(2)
    const none = 'method="GET",route="none",status="4xx"'
    expect(growth(`nanobanana_http_requests_total{${none}}`)).toBe(1)
  })

  test('a generation that succeeds, with its tokens, its price and what it cost us', async () => {
    let micros = 0
    const growth = await growthOf(async () => {
      const { json } = await generate('a banana')
      micros = Math.round(json.usage.cost_usd * 1e6)
    })
    expect(micros).toBeGreaterThan(0)
    const labels = `model="${MODEL}",mode="live"`
    expect(growth(`nanobanana_generations_total{${labels},status="succeeded",code=""}`)).toBe(1)
    const seconds = `nanobanana_generation_duration_seconds_count{${labels},status="succeeded"}`
    expect(growth(seconds)).toBe(1)
    expect(growth(`nanobanana_tokens_total{${labels},kind="output"}`)).toBeGreaterThan(1000)
    expect(growth(`nanobanana_charged_micros_total{model="${MODEL}"}`)).toBe(micros)
    expect(growth(`nanobanana_upstream_cost_micros_total{model="${MODEL}"}`)).toBe(micros)
    expect(growth(`nanobanana_upstream_calls_total{model="${MODEL}",outcome="succeeded"}`)).toBe(1)
    expect(growth('nanobanana_store_puts_total{storage="disk",outcome="stored"}')).toBe(1)
  })

  test('one that fails by its code, and each call that was made for it', async () => {
    const growth = await growthOf(async () => {
      expect((await generate('[[overloaded times=9]] no')).status).toBe(503)
    })
    const ended = `model="${MODEL}",mode="live",status="failed",code="upstream_unavailable"`
    expect(growth(`nanobanana_generations_total{${ended}}`)).toBe(1)
    const model = `model="${MODEL}"`
    const failed = `nanobanana_upstream_calls_total{${model},outcome="upstream_unavailable"}`
    expect(growth(failed)).toBe(3)
    expect(growth(`nanobanana_upstream_repeats_total{${model},code="upstream_unavailable"}`)).toBe(
      2,
    )
    expect(growth(`nanobanana_charged_micros_total{${model}}`)).toBe(0)
  }, 20_000)

  test('what a generation cost beyond what was set aside for it', async () => {
    const { db } = app.database.handle
    const growth = await growthOf(async () => {
      const made = generate('[[slow-headers delayMs=500]] dear')
      const running = () =>
        sql`
        update generations set reserved_micros = 1 where status = 'running' returning id`.execute(
          db,
        )
      await expect.poll(async () => (await running()).rows.length).toBe(1)
      expect((await made).status).toBe(200)
    })
    const model = `model="${MODEL}"`
    expect(growth(`nanobanana_reservation_excess_total{${model}}`)).toBe(1)
    expect(growth(`nanobanana_reservation_excess_micros_total{${model}}`)).toBe(
      growth(`nanobanana_charged_micros_total{${model}}`) - 1,
    )
  })

  test('an object that the store does not take', async () => {
    const { objectStore } = app.service.deps
    const refused = { key: '../outside.png', contentType: 'image/png', filename: 'x', sha256: '' }
    const growth = await growthOf(() =>
      expect(objectStore.put({ ...refused, bytes: Buffer.from('x') })).rejects.toThrow(
        ObjectStoreError,
      ),
    )
    expect(growth('nanobanana_store_puts_total{storage="disk",outcome="failed"}')).toBe(1)
    expect(growth('nanobanana_store_put_duration_seconds_count{storage="disk"}')).toBe(1)
  })

  test('refusals of a rate limit by its rule', async () => {
    const { key: slow } = await app.createKey(user, { mode: 'live', requests_per_minute: 1 })
    const growth = await growthOf(async () => {
      for (let n = 0; n < 3; n++) await app.request('GET', '/v1/models', { token: slow })
    })
    expect(growth('nanobanana_rate_limit_refusals_total{rule="key"}')).toBe(2)
    expect(growth('nanobanana_rate_limit_refusals_total{rule="account"}')).toBe(0)
  })

  test('a circuit breaker that opens, and the calls it keeps back', async () => {
    const growth = await growthOf(async () => {
      await Promise.all(
        Array.from({ length: 8 }, (_, n) => generate(`[[overloaded times=9]] ${n}`)),
      )
    })
    expect((await scrape()).get(`nanobanana_upstream_breaker_open{model="${MODEL}"}`)).toBe(1)
    const refused = `nanobanana_upstream_calls_total{model="${MODEL}",outcome="refused"}`
    expect(growth(refused)).toBeGreaterThan(0)
  }, 30_000)
})

test('registries do not meet: what one app counts, another in the process does not', async () => {
  await using other = await createTestApp({ env: { METRICS_PORT: '0' } })
  await other.listen()
  const own = (await scrape()).get(
    'nanobanana_http_requests_total{method="POST",route="/v1/generate",status="2xx"}',
  )
  expect(own).toBeGreaterThan(0)
  const samples = await scrape(metricsUrl(other.service))
  expect([...samples.keys()].filter((name) => name.includes('/v1/generate'))).toEqual([])
})

describe('a gauge that is read when it is asked for', () => {
  const textOf = async (metrics: ReturnType<typeof createMetrics>) =>
    parseExposition(await metrics.registry.metrics())

  test('is not there before somebody watches it, and adds up what several know', async () => {
    const metrics = createMetrics()
    expect([...(await textOf(metrics)).keys()]).not.toContain('nanobanana_spool_objects')
    metrics.watch('queue_generations', () => [{ labels: { status: 'queued' }, value: 3 }])
    metrics.watch('queue_generations', async () => [{ labels: { status: 'running' }, value: 2 }])
    const samples = await textOf(metrics)
    expect(samples.get('nanobanana_queue_generations{status="queued"}')).toBe(3)
    expect(samples.get('nanobanana_queue_generations{status="running"}')).toBe(2)
  })

  test('that fails or hangs is no number, and hides none of the others', async () => {
    const metrics = createMetrics()
    const down = vi.fn<() => Promise<never>>(() =>
      Promise.reject(new Error('the database is down')),
    )
    metrics.watch('spool_objects', down)
    metrics.watch('queue_oldest_seconds', () => new Promise<never>(() => {}))
    metrics.watch('webhook_oldest_seconds', () => [{ value: 7 }])
    const started = performance.now()
    const samples = await textOf(metrics)
    expect(performance.now() - started).toBeLessThan(3000)
    expect(samples.get('nanobanana_spool_objects')).toBeNaN()
    expect(samples.get('nanobanana_queue_oldest_seconds')).toBeNaN()
    expect(samples.get('nanobanana_webhook_oldest_seconds')).toBe(7)
  })
})

describe('METRICS_PORT', () => {
  test('unset opens no port', async () => {
    await using plain = await createTestApp()
    await plain.listen()
    expect(plain.service.metrics).toBeUndefined()
  })

  test('is bound to loopback next to an embedded database, whatever HOST is', async () => {
    await using open = await createTestApp({ env: { HOST: '0.0.0.0', METRICS_PORT: '0' } })
    await open.listen()
    expect(open.service.http.app.server.address()).toMatchObject({ address: '0.0.0.0' })
    expect(open.service.metrics!.server.address()).toMatchObject({ address: '127.0.0.1' })
  })

  test('in use ends the start with 78 and a line that names it', async () => {
    await using taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    await using other = await createTestApp({ env: { METRICS_PORT: String(port) } })
    const failure = await other.listen().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BootError)
    const { message, exitCode } = failure as BootError
    expect(exitCode).toBe(78)
    expect(message).toMatch(
      new RegExp(`^METRICS_PORT ${port} is in use on 127\\.0\\.0\\.1; .*METRICS_PORT=\\d+$`),
    )
  })
})

describe.skipIf(ENGINE === 'pglite')('with a pool on Postgres', () => {
  test('its connections are told by pool and state, and failures by class', async () => {
    await using database = await createTestDatabase()
    const config = loadConfig({
      DATABASE_URL: database.url,
      JWT_SECRET,
      STORAGE: 'inline',
      PORT: '0',
      HOST: '127.0.0.1',
      METRICS_PORT: '0',
    })
    await using service = await createService(config, { log: pino({ level: 'silent' }) })
    await service.listen()
    const { db } = service.deps
    await expect(sql`select pg_sleep(1) from no_such_table`.execute(db)).rejects.toThrow(
      'no_such_table',
    )
    await expect(sql`insert into users (id) values (null)`.execute(db)).rejects.toThrow('null')
    const sleeping = Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.4)`.execute(db))).catch(
      () => {},
    )
    await expect
      .poll(async () => {
        const samples = await scrape(metricsUrl(service))
        return samples.get('nanobanana_db_connections{pool="requests",state="busy"}')
      })
      .toBeGreaterThan(0)
    await sleeping
    const samples = await scrape(metricsUrl(service))
    expect(samples.get('nanobanana_db_connections{pool="urgent",state="waiting"}')).toBe(0)
    expect(samples.get('nanobanana_db_failures_total{class="other"}')).toBe(1)
    expect(samples.get('nanobanana_db_failures_total{class="constraint"}')).toBe(1)
  })
})
