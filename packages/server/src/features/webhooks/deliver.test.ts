import { sql } from 'kysely'
import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import { deriveSecrets, type Secrets } from '../../kernel/secrets.ts'
import { startWebhooks, type WebhookJob } from '../../jobs/webhooks.ts'
import { type Account, JWT_SECRET, type TestApp } from '../../../test/harness.ts'
import {
  type Answering,
  createReceiver,
  type Received,
  type Receiver,
} from '../../../test/webhook-receiver.ts'
import { createWorld, generate, SMALL } from '../../../test/world.ts'
import * as generations from '../generations/generations.service.ts'
import { recoverAbandoned } from '../generations/recovering.ts'
import { claim, deliver, reseal } from './webhooks.service.ts'

const EVENTS = ['generation.succeeded', 'generation.failed', 'generation.canceled']

let app: TestApp
let user: Account
let receivers: Receiver[] = []
beforeAll(async () => {
  app = await createWorld()
})
afterAll(() => app[Symbol.asyncDispose]())
afterEach(async () => {
  for (const receiver of receivers) await receiver[Symbol.asyncDispose]()
  receivers = []
  await sql`delete from webhooks`.execute(db())
})

const db = () => app.database.handle.db
const call = (method: string, path: string, body?: object) =>
  app.request(method, `/v1/webhooks${path}`, {
    token: user.token,
    ...(body === undefined ? {} : { body }),
  })

async function endpoint(answer: Answering = 204, body: object = {}) {
  const receiver = await createReceiver(answer)
  receivers.push(receiver)
  const made = await call('POST', '', { url: receiver.url, events: EVENTS, ...body })
  const { id, secret } = made.json as { id: string; secret: string }
  return { receiver, id, secret }
}

const render = (userId: string, id: string) => generations.readCurrent(app.service.deps, userId, id)

/** What is due now, once; as the job does it. */
async function deliverDue(limit = 100): Promise<number> {
  const { deps } = app.service
  const claimed = [
    ...(await claim(deps, { failing: false, limit })),
    ...(await claim(deps, { failing: true, limit })),
  ]
  await Promise.all(claimed.map((one) => deliver(deps, one, render)))
  return claimed.length
}

const makeDue = () =>
  sql`update webhook_deliveries set next_attempt_at = now() where next_attempt_at is not null`.execute(
    db(),
  )
const deliveriesOf = async (id: string) => (await call('GET', `/${id}/deliveries`)).json.data
const onlyDelivery = async (id: string) => {
  const all = await deliveriesOf(id)
  expect(all).toHaveLength(1)
  return all[0]
}
const webhookOf = async (id: string) => (await call('GET', `/${id}`)).json
const secondsUntil = (time: string) => (Date.parse(time) - Date.now()) / 1000
const verify = (secret: string, { body, headers }: Received) =>
  new Webhook(secret).verify(body, headers)
const make = (input = {}) => generate(app, user.token, { mode: 'test', ...input })
const fail = (scenario = 'content_blocked') =>
  app.request('POST', '/v1/generate', {
    token: user.token,
    body: { ...SMALL, mode: 'test', prompt: `#sandbox:${scenario}` },
  })

describe('an event', () => {
  beforeAll(async () => {
    user = await app.register()
  })

  test('of a success arrives once, signed, with the generation as GET answers it', async () => {
    const { receiver, id, secret } = await endpoint()
    const made = await make({ metadata: { order: '7' } })
    expect(await deliverDue()).toBe(1)
    expect(await deliverDue()).toBe(0)
    const [one] = receiver.received
    const read = await app.request('GET', `/v1/generations/${made.id}`, { token: user.token })
    const payload = verify(secret, one!) as { data: { url: string; images: object[] } }
    expect(payload).toMatchObject({
      type: 'generation.succeeded',
      timestamp: made.completed_at,
      data: { id: made.id, status: 'succeeded', metadata: { order: '7' } },
    })
    expect(Object.keys(payload.data)).toEqual(Object.keys(read.json))
    const file = new URL(payload.data.url)
    expect((await app.request('GET', `${file.pathname}${file.search}`)).status).toBe(200)
    expect(one!.headers).toMatchObject({
      'content-type': 'application/json',
      'accept-encoding': 'identity',
      connection: 'close',
      host: `127.0.0.1:${receiver.port}`,
    })
    const delivery = await onlyDelivery(id)
    expect(delivery).toMatchObject({
      message_id: one!.headers['webhook-id'],
      type: 'generation.succeeded',
      generation_id: made.id,
      status: 'delivered',
      next_attempt_at: null,
      ended_at: expect.any(String),
      attempts: [{ number: 1, status_code: 204, error: null }],
    })
  })

  test('of a failure, and of each end of one that is tried again', async () => {
    const { receiver, id } = await endpoint()
    await fail()
    await deliverDue()
    expect(receiver.received[0]!.json).toMatchObject({
      type: 'generation.failed',
      data: { status: 'failed', error: { code: 'content_blocked' } },
    })
    const again = (prompt: string) =>
      app.request('POST', '/v1/generate', {
        token: user.token,
        headers: { 'idempotency-key': 'again' },
        body: { ...SMALL, mode: 'test', prompt },
      })
    for (let n = 0; n < 2; n++) expect((await again('#sandbox:unavailable')).status).toBe(503)
    await deliverDue()
    expect(await deliveriesOf(id)).toHaveLength(3)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(3)
  })

  test('of a generation whose process died', async () => {
    const { receiver } = await endpoint()
    const made = await make()
    await sql`update generations set status = 'running', attempt = 2, lease_owner = gen_random_uuid(),
      lease_expires_at = now() - interval '1 hour', completed_at = null,
      reserved_on = reserved_on where prompt = ${made.prompt}
      and created_at = (select max(created_at) from generations)`.execute(db())
    await sql`insert into usage (id, kind, user_id, generation_id, attempt, mode, model, day, amount_micros)
      select gen_random_uuid(), 'reserve', user_id, id, 2, mode, model, reserved_on, 0
      from generations where status = 'running'`.execute(db())
    expect(await recoverAbandoned(app.service.deps, { all: false })).toBe(1)
    await deliverDue()
    const types = receiver.received.map(({ json }) => json.type)
    expect(types.toSorted()).toEqual(['generation.failed', 'generation.succeeded'])
  })

  test('goes to each endpoint that asked for it, and to no other', async () => {
    const all = await endpoint()
    const failures = await endpoint(204, { events: ['generation.failed'] })
    const disabled = await endpoint()
    await call('PATCH', `/${disabled.id}`, { disabled: true })
    const alice = user
    user = await app.register()
    const stranger = await endpoint()
    user = alice
    await make()
    await deliverDue()
    const counts = [all, failures, disabled, stranger].map(({ receiver }) => receiver.received)
    expect(counts.map(({ length }) => length)).toEqual([1, 0, 0, 0])
  })

  test('is not there when its generation did not end', async () => {
    const { id } = await endpoint()
    await sql`alter table usage rename to lost`.execute(db())
    const failed = await fail()
    await sql`alter table lost rename to usage`.execute(db())
    expect(failed.status).toBeGreaterThanOrEqual(500)
    expect(await deliveriesOf(id)).toEqual([])
  })

  test('of a generation that was deleted is dropped', async () => {
    const { receiver, id } = await endpoint()
    const made = await make()
    await app.request('DELETE', `/v1/generations/${made.id}`, { token: user.token })
    await deliverDue()
    expect(receiver.received).toEqual([])
    expect(await onlyDelivery(id)).toMatchObject({ status: 'dropped', attempts: [] })
  })
})

describe('what fails', () => {
  beforeAll(async () => {
    user = await app.register()
  })

  test.each([500, 404, 302, 307, 303])('%i is tried again later', async (status) => {
    const { receiver, id } = await endpoint(status)
    await make()
    await deliverDue()
    expect(receiver.received).toHaveLength(1)
    const delivery = await onlyDelivery(id)
    expect(delivery).toMatchObject({
      status: 'pending',
      attempts: [{ status_code: status, error: 'bad_status' }],
    })
    expect(secondsUntil(delivery.next_attempt_at)).toBeGreaterThan(2)
    expect(secondsUntil(delivery.next_attempt_at)).toBeLessThan(7)
    expect(await deliverDue()).toBe(0)
  })

  test('no answer is tried again too, and says nothing more', async () => {
    const { receiver, id } = await endpoint()
    await receiver[Symbol.asyncDispose]()
    await make()
    await deliverDue()
    expect((await onlyDelivery(id)).attempts).toEqual([
      expect.objectContaining({ status_code: null, error: 'unreachable' }),
    ])
  })

  test('ten attempts have one id, a time and a signature of their own, and are all', async () => {
    const { receiver, id, secret } = await endpoint(503)
    await make()
    for (let n = 0; n < 12; n++) {
      await deliverDue()
      await makeDue()
    }
    expect(receiver.received).toHaveLength(10)
    for (const one of receiver.received) verify(secret, one)
    const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
    const delivery = await onlyDelivery(id)
    expect(new Set(ids)).toEqual(new Set([delivery.message_id]))
    expect(delivery).toMatchObject({ status: 'failed', next_attempt_at: null })
    expect(delivery.attempts.map(({ number }: { number: number }) => number)).toEqual([
      10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
    ])
  })

  test('an endpoint that asks for more time gets it', async () => {
    const { id } = await endpoint((response) =>
      response.writeHead(429, { 'retry-after': '900' }).end(),
    )
    await make()
    await deliverDue()
    const delivery = await onlyDelivery(id)
    expect(secondsUntil(delivery.next_attempt_at)).toBeGreaterThan(890)
    expect(secondsUntil(delivery.next_attempt_at)).toBeLessThan(905)
  })

  test('410 disables the endpoint', async () => {
    const { id } = await endpoint(410)
    await make()
    await deliverDue()
    expect(await onlyDelivery(id)).toMatchObject({ status: 'failed' })
    expect(await webhookOf(id)).toMatchObject({ disabled: true, disabled_reason: 'gone' })
    await make()
    expect(await deliveriesOf(id)).toHaveLength(1)
  })

  test('five days of nothing else disable the endpoint, which says why', async () => {
    const { receiver, id } = await endpoint(500)
    const failFor = async (days: number) => {
      await sql`update webhooks set failing_since = now() - make_interval(secs => ${days * 86_400}::float8)
        where failing_since is not null`.execute(db())
      await makeDue()
      await deliverDue()
      return webhookOf(id)
    }
    await make()
    await deliverDue()
    expect((await failFor(4.9)).disabled).toBe(false)
    receiver.answer = 200
    expect((await failFor(4.95)).failing_since).toBeNull()
    receiver.answer = 500
    await make()
    await deliverDue()
    expect(await failFor(5.1)).toMatchObject({ disabled: true, disabled_reason: 'failing' })
    expect(await deliverDue()).toBe(0)
    await makeDue()
    expect(await deliverDue()).toBe(0)
    receiver.answer = 200
    await call('PATCH', `/${id}`, { disabled: false })
    expect(await deliverDue()).toBe(1)
    const { rows } = await sql`
      select detail from audit where action = 'webhook.disabled' and detail = 'failing'`.execute(
      db(),
    )
    expect(rows).toHaveLength(1)
  })

  test('an endpoint that was down for three hours gets it all, with addresses that open', async () => {
    const { receiver } = await endpoint(503)
    const made = []
    for (let n = 0; n < 6; n++) made.push(await make())
    for (let n = 0; n < 5; n++) {
      await deliverDue()
      await sql`update webhook_deliveries set next_attempt_at = next_attempt_at - interval '3 hours'`.execute(
        db(),
      )
    }
    receiver.answer = 200
    receiver.received.length = 0
    await makeDue()
    while ((await deliverDue()) > 0);
    const { received } = receiver
    expect(received.map(({ json }) => json.data.id).toSorted()).toEqual(
      made.map(({ id }) => id).toSorted(),
    )
    for (const { json } of received) {
      const { pathname, search } = new URL(json.data.url)
      expect((await app.request('GET', `${pathname}${search}`)).status).toBe(200)
    }
  })
})

describe('a crash', () => {
  beforeAll(async () => {
    user = await app.register()
  })
  const claimOne = async () => (await claim(app.service.deps, { failing: false, limit: 1 }))[0]!
  const expireLeases = () =>
    sql`update webhook_deliveries set lease_expires_at = now() - interval '1 s', next_attempt_at = now()
      where lease_expires_at is not null`.execute(db())

  test('between the answer and its record sends it again under the same id', async () => {
    const { receiver, id } = await endpoint()
    await make()
    const claimed = await claimOne()
    await sql`alter table webhook_attempts rename to lost`.execute(db())
    await expect(deliver(app.service.deps, claimed, render)).rejects.toThrow('webhook_attempts')
    await sql`alter table lost rename to webhook_attempts`.execute(db())
    expect(await deliverDue()).toBe(0)
    await expireLeases()
    expect(await deliverDue()).toBe(1)
    const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
    expect(ids).toEqual([ids[0], ids[0]])
    expect(await onlyDelivery(id)).toMatchObject({
      status: 'delivered',
      attempts: [{ number: 2 }],
    })
  })

  test('leaves nothing to a process that comes back after its lease', async () => {
    const { receiver, id } = await endpoint()
    await make()
    const late = await claimOne()
    await expireLeases()
    const second = await claimOne()
    receiver.answer = 410
    await deliver(app.service.deps, late, render)
    expect(await webhookOf(id)).toMatchObject({ disabled: false })
    receiver.answer = 204
    await deliver(app.service.deps, second, render)
    receiver.answer = 500
    await deliver(app.service.deps, late, render)
    expect(await onlyDelivery(id)).toMatchObject({
      status: 'delivered',
      attempts: [{ number: 2, status_code: 204 }],
    })
  })
})

describe('many at once', () => {
  let job: WebhookJob | undefined
  beforeAll(async () => {
    user = await app.register()
  })
  afterEach(async () => {
    for (const receiver of receivers) await receiver[Symbol.asyncDispose]()
    await job?.stop()
    job = undefined
  })
  const hang = () => {}

  test('an endpoint has four at most, over all who deliver', async () => {
    const held: (() => void)[] = []
    const { receiver } = await endpoint((response) => void held.push(() => response.end()))
    for (let n = 0; n < 12; n++) await make()
    const { deps } = app.service
    const claims = await Promise.all(
      Array.from({ length: 6 }, () => claim(deps, { failing: false, limit: 100 })),
    )
    const claimed = claims.flat()
    expect(claimed).toHaveLength(4)
    expect(new Set(claimed.map(({ id }) => id)).size).toBe(4)
    const working = Promise.all(claimed.map((one) => deliver(deps, one, render)))
    await vi.waitFor(() => expect(held).toHaveLength(4))
    expect(await claim(deps, { failing: false, limit: 100 })).toEqual([])
    held.forEach((release) => release())
    await working
    expect(await claim(deps, { failing: false, limit: 3 })).toHaveLength(3)
    expect(receiver.mostAtOnce()).toBe(4)
  })

  test('one that never answers delays no other', async () => {
    const hole = await endpoint(hang)
    const quick = await endpoint(204)
    job = startWebhooks(app.service.deps)
    for (let n = 0; n < 12; n++) await make()
    await vi.waitFor(() => expect(quick.receiver.received).toHaveLength(12), { timeout: 8000 })
    expect(hole.receiver.mostAtOnce()).toBe(4)
  })

  test('many that hang and have failed before take no place from one that answers', async () => {
    const hole = await createReceiver(hang)
    receivers.push(hole)
    for (let n = 0; n < 19; n++) await call('POST', '', { url: hole.url, events: EVENTS })
    await sql`update webhooks set failing_since = now()`.execute(db())
    const quick = await endpoint(204)
    for (let n = 0; n < 6; n++) await make()
    job = startWebhooks(app.service.deps)
    await vi.waitFor(() => expect(quick.receiver.received).toHaveLength(6), { timeout: 8000 })
    expect(hole.mostAtOnce()).toBeLessThanOrEqual(16)
  })

  test('the job sends what is due within a second or so, and has ended once it was stopped', async () => {
    const { receiver, id } = await endpoint((response) => {
      setTimeout(() => response.end(), 300)
    })
    job = startWebhooks(app.service.deps)
    await make()
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), { timeout: 3000 })
    await job.stop()
    expect(await onlyDelivery(id)).toMatchObject({ status: 'delivered' })
    await make()
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(receiver.received).toHaveLength(1)
  })
})

describe('a secret', () => {
  beforeAll(async () => {
    user = await app.register()
  })
  const rotate = (id: string, body: object = {}) => call('POST', `/${id}/rotate_secret`, body)
  const receive = async (receiver: Receiver) => {
    receiver.received.length = 0
    await make()
    await deliverDue()
    return receiver.received[0]!
  }

  test('that is rotated signs on beside the new one, until its grace is over', async () => {
    const { receiver, id, secret } = await endpoint()
    const rotated = await rotate(id)
    expect(rotated.status).toBe(201)
    const fresh = rotated.json.secret as string
    expect(fresh).not.toBe(secret)
    const both = await receive(receiver)
    expect(both.headers['webhook-signature']!.split(' ')).toHaveLength(2)
    for (const one of [secret, fresh]) verify(one, both)
    await sql`update webhook_secrets set expires_at = now() where expires_at is not null`.execute(
      db(),
    )
    const after = await receive(receiver)
    verify(fresh, after)
    expect(() => verify(secret, after)).toThrow('No matching signature')
  })

  test('never has more than one beside it, and none without a grace', async () => {
    const { receiver, id, secret } = await endpoint()
    const second = (await rotate(id)).json.secret as string
    const third = (await rotate(id, { grace_seconds: 60 })).json.secret as string
    const one = await receive(receiver)
    for (const valid of [second, third]) verify(valid, one)
    expect(() => verify(secret, one)).toThrow('No matching signature')
    const last = (await rotate(id, { grace_seconds: 0 })).json.secret as string
    const alone = await receive(receiver)
    verify(last, alone)
    expect(alone.headers['webhook-signature']!.split(' ')).toHaveLength(1)
  })

  const send = async (secrets: Secrets) => {
    const { deps } = app.service
    const claimed = [
      ...(await claim(deps, { failing: false, limit: 1 })),
      ...(await claim(deps, { failing: true, limit: 1 })),
    ]
    for (const one of claimed) await deliver({ ...deps, secrets }, one, render)
    return claimed.length
  }
  const OTHER = 'another secret of tests 0123456789 abc'

  test('is put off where nobody knows the server secret that sealed it, and lost after days', async () => {
    const { receiver, id, secret } = await endpoint()
    await make()
    expect(await send(deriveSecrets([OTHER]))).toBe(1)
    const delivery = await onlyDelivery(id)
    expect(delivery).toMatchObject({ status: 'pending', attempts: [] })
    expect(secondsUntil(delivery.next_attempt_at)).toBeGreaterThan(500)
    expect((await webhookOf(id)).disabled).toBe(false)
    await makeDue()
    expect(await send(deriveSecrets([OTHER, JWT_SECRET]))).toBe(1)
    verify(secret, receiver.received[0]!)

    await make()
    await send(deriveSecrets([OTHER]))
    await sql`update webhooks set failing_since = now() - interval '6 days'`.execute(db())
    await makeDue()
    await send(deriveSecrets([OTHER]))
    expect(receiver.received).toHaveLength(1)
    expect(await webhookOf(id)).toMatchObject({ disabled_reason: 'secret_unreadable' })
    const fresh = (await rotate(id)).json.secret as string
    await call('PATCH', `/${id}`, { disabled: false })
    await makeDue()
    await deliverDue()
    verify(fresh, receiver.received[1]!)
  })

  test('is sealed anew under the first server secret, so that the older one can be dropped', async () => {
    const { receiver, secret } = await endpoint()
    const both = deriveSecrets([OTHER, JWT_SECRET])
    expect(await reseal({ db: db(), secrets: app.service.deps.secrets })).toBe(0)
    expect(await reseal({ db: db(), secrets: both })).toBe(1)
    expect(await reseal({ db: db(), secrets: both })).toBe(0)
    await make()
    expect(await send(deriveSecrets([OTHER]))).toBe(1)
    verify(secret, receiver.received[0]!)
  })

  test('that was moved to another endpoint is not opened, and keeps no other from being sealed anew', async () => {
    const [one, other] = [await endpoint(), await endpoint()]
    await endpoint()
    const uuidOf = (id: string) => parseId('wh', id)
    await sql`update webhook_secrets set sealed =
        (select sealed from webhook_secrets where webhook_id = ${uuidOf(one.id)})
      where webhook_id = ${uuidOf(other.id)}`.execute(db())
    expect(await reseal({ db: db(), secrets: deriveSecrets([OTHER, JWT_SECRET]) })).toBe(2)
  })
})

describe('by hand', () => {
  beforeAll(async () => {
    user = await app.register()
  })

  test('a test is sent at once, signed, and its outcome answered', async () => {
    const { receiver, id, secret } = await endpoint(201)
    const tested = await call('POST', `/${id}/test`)
    expect(tested.status).toBe(200)
    expect(tested.json).toMatchObject({
      type: 'webhook.test',
      generation_id: null,
      status: 'delivered',
      attempts: [{ number: 1, status_code: 201, error: null }],
    })
    const payload = verify(secret, receiver.received[0]!)
    expect(payload).toMatchObject({ type: 'webhook.test', data: { object: 'generation' } })
    expect((await onlyDelivery(id)).id).toBe(tested.json.id)
  })

  test('a test that fails is not tried again, and says nothing of the endpoint', async () => {
    const { id } = await endpoint(500)
    const tested = await call('POST', `/${id}/test`)
    expect(tested.json).toMatchObject({
      status: 'failed',
      next_attempt_at: null,
      attempts: [{ status_code: 500, error: 'bad_status' }],
    })
    expect((await webhookOf(id)).failing_since).toBeNull()
    const again = await call('POST', `/${id}/deliveries/${tested.json.id}/redeliver`)
    expect(again.json.error).toMatchObject({ code: 'invalid_input', param: 'delivery_id' })
  })

  test('a delivery is sent again under its id, whatever became of it', async () => {
    const { receiver, id } = await endpoint(204)
    await make()
    await deliverDue()
    const { id: deliveryId } = await onlyDelivery(id)
    const again = await call('POST', `/${id}/deliveries/${deliveryId}/redeliver`)
    expect(again.json).toMatchObject({ id: deliveryId, status: 'pending' })
    await deliverDue()
    const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
    expect(ids).toEqual([ids[0], ids[0]])
    expect(await onlyDelivery(id)).toMatchObject({
      status: 'delivered',
      attempts: [{ number: 2 }, { number: 1 }],
    })
  })

  test('one under way is answered as it is', async () => {
    const { receiver, id } = await endpoint()
    await make()
    const [claimed] = await claim(app.service.deps, { failing: false, limit: 1 })
    const { id: deliveryId } = await onlyDelivery(id)
    const again = await call('POST', `/${id}/deliveries/${deliveryId}/redeliver`)
    expect(again.status).toBe(200)
    await deliver(app.service.deps, claimed!, render)
    expect(await deliverDue()).toBe(0)
    expect(receiver.received).toHaveLength(1)
  })

  test('nothing is sent again to a disabled endpoint', async () => {
    const { id } = await endpoint()
    await make()
    const { id: deliveryId } = await onlyDelivery(id)
    await call('PATCH', `/${id}`, { disabled: true })
    const again = await call('POST', `/${id}/deliveries/${deliveryId}/redeliver`)
    expect(again.json.error).toMatchObject({ code: 'invalid_input', param: 'id' })
  })

  test('the list goes page by page, newest first', async () => {
    const { id } = await endpoint()
    for (let n = 0; n < 3; n++) await make()
    const first = (await call('GET', `/${id}/deliveries?limit=2`)).json
    const second = (await call('GET', `/${id}/deliveries?limit=2&cursor=${first.next_cursor}`)).json
    const times = [...first.data, ...second.data].map(
      ({ created_at: at }: { created_at: string }) => at,
    )
    expect(times).toHaveLength(3)
    expect(times).toEqual(times.toSorted().toReversed())
    expect(second.next_cursor).toBeNull()
  })
})

test('inline images are told by their lasting address', async () => {
  await using inline = await createWorld({ env: { STORAGE: 'inline' } })
  const owner = await inline.register()
  const receiver = await createReceiver()
  receivers.push(receiver)
  await inline.request('POST', '/v1/webhooks', {
    token: owner.token,
    body: { url: receiver.url, events: EVENTS },
  })
  await generate(inline, owner.token, { mode: 'test' })
  const { deps } = inline.service
  for (const one of await claim(deps, { failing: false, limit: 1 })) {
    await deliver(deps, one, (userId, id) => generations.readCurrent(deps, userId, id))
  }
  const { url } = receiver.received[0]!.json.data
  expect(url).toMatch(/^http:\/\/nanobanana\.test\/v1\/images\/img_\w+\/content$/)
})

test('a service that listens delivers by itself', async () => {
  await using other = await createWorld()
  await other.listen()
  const owner = await other.register()
  const receiver = await createReceiver()
  receivers.push(receiver)
  const body = { url: receiver.url, events: EVENTS }
  await other.request('POST', '/v1/webhooks', { token: owner.token, body })
  await generate(other, owner.token, { mode: 'test' })
  await vi.waitFor(() => expect(receiver.received).toHaveLength(1), { timeout: 4000 })
})
