import type { KyselyPlugin } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'
import { uuidOf } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import { follow, type Followed } from './following.ts'

let app: TestApp
beforeAll(async () => void (app = await createTestApp()))
afterAll(() => app[Symbol.asyncDispose]())

/** Lets something happen once, after the first answer of the database. */
function afterFirstRead(happen: () => Promise<unknown>): KyselyPlugin {
  let isFirst = true
  return {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      if (isFirst) {
        isFirst = false
        await happen()
      }
      return result
    },
  }
}

test('an end that comes between the row and its events is told with what the row is then', async () => {
  const user = await app.register()
  const { id: keyId, key: token } = await app.createKey(user)
  const accepted = await app.request('POST', '/v1/generate', {
    token,
    headers: { prefer: 'respond-async' },
    body: { prompt: 'a banana #sandbox:slow=20' },
  })
  const { id } = accepted.json
  const cancel = () => app.request('POST', `/v1/generations/${id}/cancel`, { token })

  const { deps } = app.service
  const between = { ...deps, db: deps.db.withPlugin(afterFirstRead(cancel)) }
  const principal: Principal = {
    kind: 'key',
    userId: uuidOf(user.id),
    keyId: uuidOf(keyId),
    mode: 'test',
    scopes: ['read'],
    requestsPerMinute: null,
    maxConcurrency: null,
  }
  const told: Followed[] = []
  const { signal } = new AbortController()
  for await (const one of follow(between, principal, uuidOf(id), 0, signal)) told.push(one)
  expect(told.at(-1)?.event).toMatchObject({
    type: 'generation.canceled',
    data: { id, status: 'canceled', completed_at: expect.any(String) },
  })
  expect(told.filter(({ event }) => event.type === 'generation.canceled')).toHaveLength(1)
})
