import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { transaction } from '../../db/client.ts'
import { newUuid, parseId } from '../../kernel/ids.ts'
import { createTestApp, ENGINE, type TestApp } from '../../../test/harness.ts'
import { sweepRecords } from './generations.service.ts'
import { insertRecord } from './idempotency.repo.ts'

let app: TestApp
let userId = ''
beforeAll(async () => {
  app = await createTestApp()
  userId = parseId('user', (await app.register()).id) ?? ''
})
afterAll(() => app[Symbol.asyncDispose]())

const db = () => app.database.handle.db
const claimOf = (key: string) => ({ userId, scope: 'session', key, fingerprint: Buffer.from(key) })
const sweep = () => sweepRecords(app.service.deps, new AbortController().signal)
const keysLeft = async () =>
  (await db().selectFrom('idempotency_keys').select('key').orderBy('key').execute()).map(
    (row) => row.key,
  )

test('records go once their retention is over, in batches; those of running generations stay', async () => {
  await sql`
    insert into idempotency_keys (user_id, scope, key, fingerprint, generation_id, expires_at)
    select ${userId}, 'session', 'old-' || n, '', gen_random_uuid(), now() - interval '1 second'
    from generate_series(1, 2500) n`.execute(db())
  await transaction(db(), (tx) => insertRecord(tx, claimOf('running'), newUuid()))
  await sql`
    insert into idempotency_keys (user_id, scope, key, fingerprint, generation_id, expires_at)
    values (${userId}, 'session', 'young', '', gen_random_uuid(), now() + interval '1 minute')`.execute(
    db(),
  )
  app.database.statements.length = 0
  expect(await sweep()).toBe(2500)
  expect(app.database.statements).toHaveLength(3)
  expect(await keysLeft()).toEqual(['running', 'young'])
})

const why = ENGINE === 'postgres' ? '' : ' (skipped: needs two connections, so Postgres)'
test.skipIf(ENGINE === 'pglite')(
  `a claim that takes an expired record over while it is swept lives${why}`,
  async () => {
    await sql`
      insert into idempotency_keys (user_id, scope, key, fingerprint, generation_id, expires_at)
      values (${userId}, 'session', 'again', '', gen_random_uuid(), now() - interval '1 second')`.execute(
      db(),
    )
    const claimed = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const claiming = transaction(db(), async (tx) => {
      await insertRecord(tx, claimOf('again'), newUuid())
      claimed.resolve()
      await finish.promise
    })
    await claimed.promise
    const sweeping = sweep()
    await Promise.race([sweeping, db().executeQuery(sql`select pg_sleep(0.2)`.compile(db()))])
    finish.resolve()
    await Promise.all([claiming, sweeping])
    expect(await keysLeft()).toContain('again')
  },
)
