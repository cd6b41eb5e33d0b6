import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Account, TestApp } from '../../../test/harness.ts'
import { createWorld, generate } from '../../../test/world.ts'
import { sweep } from './webhooks.service.ts'

const NEVER = new AbortController().signal

let app: TestApp
let user: Account
beforeAll(async () => {
  app = await createWorld()
  user = await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const db = () => app.database.handle.db
const sweepAll = () => sweep(app.service.deps, NEVER)
const count = async (table: 'webhooks' | 'webhook_deliveries') =>
  (await db().selectFrom(table).select('id').execute()).length

async function endpointWith(deliveries: number): Promise<string> {
  const { token } = user
  const body = { url: 'http://127.0.0.1:9/', events: ['generation.succeeded'] }
  const { id } = (await app.request('POST', '/v1/webhooks', { token, body })).json
  for (let n = 0; n < deliveries; n++) await generate(app, token, { mode: 'test' })
  return id
}
const remove = (id: string) => app.request('DELETE', `/v1/webhooks/${id}`, { token: user.token })

test('deliveries go when nothing has happened to them for 30 days', async () => {
  const id = await endpointWith(2)
  const age = (days: number) =>
    sql`update webhook_deliveries set touched_at = now() - make_interval(days => ${days}::int)
      where id = (select max(id::text)::uuid from webhook_deliveries)`.execute(db())
  await age(29)
  expect(await sweepAll()).toBe(0)
  await age(31)
  expect(await sweepAll()).toBe(1)
  expect(await count('webhook_deliveries')).toBe(1)
  await remove(id)
  await sweepAll()
})

test('an endpoint that was deleted goes after its deliveries, however many', async () => {
  const id = await endpointWith(1)
  const kept = await endpointWith(1)
  await sql`insert into webhook_deliveries (id, webhook_id, generation_id, generation_attempt, type, next_attempt_at)
    select gen_random_uuid(), webhook_id, gen_random_uuid(), 1, type, now()
    from webhook_deliveries, generate_series(1, 600)`.execute(db())
  await remove(id)
  const stopped = AbortSignal.abort()
  expect(await sweep(app.service.deps, stopped)).toBe(0)
  await sweepAll()
  expect([await count('webhooks'), await count('webhook_deliveries')]).toEqual([1, 601])
  await remove(kept)
  await sweepAll()
  expect([await count('webhooks'), await count('webhook_deliveries')]).toEqual([0, 0])
})
