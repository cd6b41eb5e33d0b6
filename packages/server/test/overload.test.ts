import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Account, TestApp } from './harness.ts'
import { openPort, requestText, say } from './raw-http.ts'
import { createScriptedProvider, type ScriptedProvider } from './scripted-provider.ts'
import { createWorld } from './world.ts'

const WORKING = 8
const WAITING = 8
/** What one credential may have, and one account. */
const HALF = 4
const OF_ADDRESS = 6

let app: TestApp
let port: number
let provider: ScriptedProvider
let alice: Account
let bob: Account
beforeAll(async () => {
  provider = await createScriptedProvider()
  app = await createWorld({
    providers: { live: provider },
    inFlight: { working: WORKING, waiting: WAITING },
    env: { TRUST_PROXY: '127.0.0.1', PUBLIC_URL: 'http://nanobanana.test' },
  })
  port = await openPort(app)
  alice = await app.register()
  bob = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())
let letGo = () => {}
afterEach(async () => {
  letGo()
  vi.restoreAllMocks()
  await vi.waitUntil(async () => (await inFlight()).every((count) => count === 0))
})

async function inFlight(): Promise<number[]> {
  const gauge = app.service.deps.metrics.registry.getSingleMetric(
    'nanobanana_http_requests_in_flight',
  )!
  return (await gauge.get()).values.map(({ value }) => value)
}

/** Holds every request that comes to its limits until it is let go. */
function holdRequests(): { let(): void } {
  const { rateLimiter } = app.service.deps
  const { consumeAll } = rateLimiter
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  vi.spyOn(rateLimiter, 'consumeAll').mockImplementation(async (...call) => {
    await gate
    return consumeAll(...call)
  })
  return { let: () => letGo() }
}

let addresses = 0
/** Each from an address of its own, unless the test is about addresses. */
const read = (token?: string, ip = `198.51.100.${++addresses}`) =>
  app.request('GET', '/v1/models', { ip, ...(token === undefined ? {} : { token }) })
const many = <T>(count: number, work: (n: number) => Promise<T>) =>
  Array.from({ length: count }, (_, n) => work(n))
const statuses = async (answers: Promise<{ status: number }>[]) =>
  (await Promise.all(answers)).map(({ status }) => status)

describe('requests in flight', () => {
  test('beyond the bound are refused at once, before anybody is asked who sends them', async () => {
    const held = holdRequests()
    const others = many(WORKING, () => read())
    await expect.poll(inFlight).toEqual([WORKING, 0])
    const { statements } = app.database
    const before = statements.length
    const refused = await read(alice.token)
    expect(refused.status).toBe(503)
    expect(refused.json.error.code).toBe('overloaded')
    expect(refused.headers['retry-after']).toBe('1')
    expect(refused.headers['x-should-retry']).toBe('true')
    expect(refused.headers['x-request-id']).toBeDefined()
    expect(statements.slice(before)).toEqual([])
    held.let()
    expect(new Set(await statuses(others))).toEqual(new Set([401]))
    expect((await read(alice.token)).status).toBe(200)
  })

  test('beyond the bound do not keep health from its answer', async () => {
    const held = holdRequests()
    const others = many(WORKING, () => read())
    await expect.poll(inFlight).toEqual([WORKING, 0])
    const health = many(WORKING * 3, (n) => app.request('GET', n % 2 ? '/healthz' : '/readyz'))
    expect(new Set(await statuses(health))).toEqual(new Set([200]))
    held.let()
    await Promise.all(others)
  })

  test('of one credential leave room for the others', async () => {
    const held = holdRequests()
    const flood = many(WORKING * 2, () => read(alice.token))
    await expect.poll(inFlight).toEqual([HALF, 0])
    const other = read(bob.token)
    await expect.poll(inFlight).toEqual([HALF + 1, 0])
    held.let()
    expect((await other).status).toBe(200)
    const all = await statuses(flood)
    expect(all.filter((status) => status === 200)).toHaveLength(HALF)
    expect(all.filter((status) => status === 429)).toHaveLength(WORKING * 2 - HALF)
    const { json, headers } = (await Promise.all(flood)).find(({ status }) => status === 429)!
    expect(json.error.code).toBe('rate_limited')
    expect(headers['retry-after']).toBe('1')
  })

  test('of one account do so too, however many credentials it has', async () => {
    const tokens = [alice.token]
    for (let n = 0; n < HALF; n++) tokens.push((await app.createKey(alice)).key)
    const held = holdRequests()
    const flood = tokens.map((token) => read(token))
    await expect.poll(inFlight).toEqual([HALF, 0])
    const refused = await Promise.race(flood)
    expect(refused.status).toBe(429)
    expect(refused.json.error.message).toContain('account')
    held.let()
    expect((await statuses(flood)).filter((status) => status === 200)).toHaveLength(HALF)
  })

  test('from one address leave some room to others', async () => {
    const held = holdRequests()
    const flood = many(WORKING * 2, () => read(undefined, '203.0.113.7'))
    await expect.poll(inFlight).toEqual([OF_ADDRESS, 0])
    const other = read(bob.token)
    held.let()
    expect((await other).status).toBe(200)
    expect((await statuses(flood)).filter((status) => status === 429)).toHaveLength(
      WORKING * 2 - OF_ADDRESS,
    )
  })

  test('whose client has gone are in flight for as long as they are worked on', async () => {
    const held = holdRequests()
    const socket = connect(port, '127.0.0.1')
    socket.write(requestText('GET /v1/models', [`Authorization: Bearer ${alice.token}`]))
    await expect.poll(inFlight).toEqual([1, 0])
    socket.destroy()
    await sleep(100)
    expect(await inFlight()).toEqual([1, 0])
    held.let()
    await expect.poll(inFlight).toEqual([0, 0])
  })

  test('that are refused do not have a large body read', async () => {
    const held = holdRequests()
    const others = many(WORKING, () => read())
    await expect.poll(inFlight).toEqual([WORKING, 0])
    const head = ['Content-Type: application/json', 'Content-Length: 20000000']
    const answer = await say(port, requestText('POST /v1/generate', head))
    expect(answer.status).toBe(503)
    expect(answer.headers['connection']).toBe('close')
    expect(answer.closed).toBe(true)
    held.let()
    await Promise.all(others)
  })
})

describe('what was refused a place in the queue', () => {
  let crowded: TestApp
  beforeAll(async () => {
    crowded = await createWorld({
      providers: { live: provider },
      env: { WORKERS: '0', QUEUE_MAX: '1' },
    })
  })
  afterAll(() => crowded[Symbol.asyncDispose]())
  const ask = (token: string, headers: Record<string, string> = { prefer: 'respond-async' }) =>
    crowded.request('POST', '/v1/generate', { token, headers, body: { prompt: 'a banana' } })

  test('is refused again without a look at the database, for a moment and no one else', async () => {
    const [one, other] = [await crowded.register(), await crowded.register()]
    expect((await ask(one.token)).status).toBe(202)
    expect((await ask(one.token)).status).toBe(503)
    const { statements } = crowded.database
    const before = statements.length
    const again = await ask(one.token)
    expect([again.status, again.json.error.code]).toEqual([503, 'overloaded'])
    expect(Number(again.headers['retry-after'])).toBeGreaterThan(0)
    expect(statements.slice(before)).toEqual([])
    // Where the caller waits there are places of their own.
    expect((await ask(one.token, {})).status).toBe(200)
    const between = statements.length
    expect((await ask(other.token)).json.error.code).toBe('overloaded')
    expect(statements.length).toBeGreaterThan(between)
    await sleep(300)
    const later = statements.length
    expect((await ask(one.token)).status).toBe(503)
    expect(statements.length).toBeGreaterThan(later)
  })
})

describe('requests that wait for a generation', () => {
  const generate = (token: string) =>
    app.request('POST', '/v1/generate', {
      token,
      ip: `198.51.100.${++addresses}`,
      body: { prompt: 'a banana' },
    })

  test('count apart, so that others are let in to work', async () => {
    let end = () => {}
    const gate = new Promise<void>((resolve) => (end = resolve))
    provider.play(...many(HALF, () => gate))
    const waiting = many(HALF, () => generate(alice.token))
    await expect.poll(inFlight).toEqual([0, HALF])
    expect((await read(alice.token)).status).toBe(200)
    const refused = await generate(alice.token)
    expect(refused.status).toBe(429)
    end()
    expect(await statuses(waiting)).toEqual([200, 200, 200, 200])
    expect((await generate(alice.token)).status).toBe(200)
  })
})
