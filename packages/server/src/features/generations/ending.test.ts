import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createTestApp, type TestApp } from '../../../test/harness.ts'
import { ObjectStoreError } from '../../ports/object-store.ts'

let app: TestApp
let key: string
beforeAll(async () => {
  // What other transactions are begun meanwhile is not the question.
  app = await createTestApp({ env: { WORKERS: '0', SPOOL_MAX_BYTES: '0' } })
  key = (await app.createKey(await app.register())).key
})
afterAll(() => app[Symbol.asyncDispose]())
afterEach(() => vi.restoreAllMocks())

const generate = (prompt: string) =>
  app.request('POST', '/v1/generate', { token: key, body: { prompt } })
const usageRows = () =>
  app.database.handle.db.selectFrom('usage').select('id').where('kind', '=', 'settle').execute()

const CUT = () =>
  Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' })

/** Lets the transaction that begins a generation pass, and cuts the connection at the one that ends it. */
function cutAtTheEnd(when: 'before' | 'after commit', times: number): { tries: number } {
  const { db } = app.database.handle
  const real = db.transaction.bind(db)
  const seen = { tries: 0 }
  let transactions = 0
  vi.spyOn(db, 'transaction').mockImplementation(() => {
    const builder = real()
    const execute = builder.execute.bind(builder)
    builder.execute = async (work) => {
      if (++transactions === 1) return execute(work)
      if (++seen.tries > times) return execute(work)
      if (when === 'after commit') await execute(work)
      throw CUT()
    }
    return builder
  })
  return seen
}

describe('a database that fails while a paid picture is being kept', () => {
  test.each(['before', 'after commit'] as const)(
    'is tried again, and the picture is charged once: connection cut %s',
    async (when) => {
      const before = (await usageRows()).length
      const seen = cutAtTheEnd(when, 1)
      const made = await generate(`cut ${when}`)
      expect(made.status).toBe(200)
      expect(made.json.images).toHaveLength(1)
      expect(seen.tries).toBe(2)
      expect(await usageRows()).toHaveLength(before + 1)
    },
  )

  test('for good ends in 503 that is not to be repeated, and a generation that can be asked for', async () => {
    cutAtTheEnd('before', 100)
    const failed = await generate('cut for good')
    expect(failed.status).toBe(503)
    expect(failed.json.error.code).toBe('unavailable')
    expect(failed.headers['x-should-retry']).toBe('false')
    expect(failed.headers['x-generation-id']).toMatch(/^gen_/)
  })
})

test('a store that fails, and has no spool, is not an invitation to buy the picture again', async () => {
  vi.spyOn(app.service.deps.objectStore, 'put').mockRejectedValue(new ObjectStoreError('full'))
  const failed = await generate('no room')
  expect(failed.status).toBe(503)
  expect(failed.headers['x-should-retry']).toBe('false')
})
