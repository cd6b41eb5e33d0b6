import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestDatabase, ENGINE, type TestDatabase } from '../../test/harness.ts'
import { isOutcomeUnknown, transaction } from './client.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const failure = (code: string, message = 'x') => Object.assign(new Error(message), { code })

/** Rolls back what was done and fails as the database would, as often as it has errors. */
function failing(...errors: Error[]) {
  let tries = 0
  const work = () =>
    transaction(database.handle.db, async (tx) => {
      tries++
      await sql`insert into spending values (gen_random_uuid(), '2026-01', 1)`.execute(tx)
      const error = errors.shift()
      if (error !== undefined) throw error
      return 'done'
    })
  return { work, tries: () => tries }
}

const rows = async () =>
  (await database.handle.db.selectFrom('spending').select('month').execute()).length

describe('a transaction', () => {
  test.each(['40001', '40P01'])(
    'that ends with %s runs again, three times at most',
    async (code) => {
      const before = await rows()
      const lucky = failing(failure(code), failure(code), failure(code))
      expect(await lucky.work()).toBe('done')
      expect(lucky.tries()).toBe(4)
      expect(await rows()).toBe(before + 1)
      const unlucky = failing(...Array.from({ length: 9 }, () => failure(code)))
      await expect(unlucky.work()).rejects.toMatchObject({ code })
      expect(unlucky.tries()).toBe(4)
      expect(await rows()).toBe(before + 1)
    },
  )

  test.each(['23505', '55P03', '57014', '57P01', 'ECONNRESET'])(
    'that ends with %s does not run again',
    async (code) => {
      const once = failing(failure(code))
      await expect(once.work()).rejects.toMatchObject({ code })
      expect(once.tries()).toBe(1)
    },
  )

  // PGlite runs one transaction after the other.
  test.skipIf(ENGINE === 'pglite')('that is the victim of a deadlock runs again', async () => {
    const { db } = database.handle
    const ids = ['00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002']
    for (const id of ids) await sql`insert into spending values (${id}, '2026-02', 0)`.execute(db)
    let tries = 0
    const both = Promise.withResolvers<void>()
    const raise = (first: string, second: string) =>
      transaction(db, async (tx) => {
        const add = (id: string) =>
          sql`update spending set micros = micros + 1 where owner_id = ${id}`.execute(tx)
        await add(first)
        if (++tries === 2) both.resolve()
        await both.promise
        await add(second)
      })
    const [a, b] = ids as [string, string]
    await Promise.all([raise(a, b), raise(b, a)])
    expect(tries).toBeGreaterThan(2)
    const left = await db
      .selectFrom('spending')
      .select('micros')
      .where('owner_id', 'in', ids)
      .execute()
    expect(left).toEqual([{ micros: 2 }, { micros: 2 }])
  })
})

test.each([
  [true, failure('ECONNRESET')],
  [true, failure('EPIPE')],
  [true, failure('08006')],
  [true, failure('57P01')],
  [true, new Error('Connection terminated unexpectedly')],
  [false, failure('40P01')],
  [false, failure('55P03')],
  [false, failure('ECONNREFUSED')],
  [false, new Error('timeout exceeded when trying to connect')],
  [false, 'Connection terminated unexpectedly'],
])('the outcome is unknown (%s) after %s', (expected, error) => {
  expect(isOutcomeUnknown(error)).toBe(expected)
})

// PGlite has no connection to lose.
test.skipIf(ENGINE === 'pglite')(
  'the outcome is unknown when the server ends the connection',
  async () => {
    const { db } = database.handle
    const error: unknown = await transaction(db, async (tx) => {
      await sql`select pg_terminate_backend(pg_backend_pid())`.execute(tx)
    }).catch((reason: unknown) => reason)
    expect(isOutcomeUnknown(error)).toBe(true)
  },
)
