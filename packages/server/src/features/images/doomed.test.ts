import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../../test/harness.ts'
import { filesOf, plantFiles, plantRows } from '../../../test/stored-objects.ts'
import { createWorld, generate } from '../../../test/world.ts'
import { type ObjectStore, ObjectStoreError } from '../../ports/object-store.ts'
import { sweep } from '../sweeping/sweeping.service.ts'

const NEVER = new AbortController().signal

let app: TestApp
let genuine: ObjectStore['delete']
beforeAll(async () => {
  app = await createWorld()
  genuine = app.service.deps.objectStore.delete
})
afterAll(() => app[Symbol.asyncDispose]())
beforeEach(async () => {
  app.service.deps.objectStore.delete = genuine
  for (const key of await filesOf(app.dataDir)) await genuine(key)
  await db().deleteFrom('doomed_objects').execute()
  app.logs.length = 0
})

const db = () => app.database.handle.db
const drain = () => app.service.deps.background.drain()
const doomed = async () =>
  (await db().selectFrom('doomed_objects').select('object_key').execute()).map(
    (row) => row.object_key,
  )
const replaceDelete = (replacement: ObjectStore['delete']) =>
  void (app.service.deps.objectStore.delete = replacement)
const refuse = () => Promise.reject(new ObjectStoreError('the store is away'))

/** What `sweep` says of the task. */
const sweepDoomed = async () =>
  (await sweep(app.service.deps, NEVER)).find(({ task }) => task === 'doomed objects')

/** Objects of deleted images, as a process leaves them that dies right after the deletion. */
async function plantDoomed(count: number): Promise<string[]> {
  const keys = await plantFiles(app.dataDir, count, 1)
  await sql`
    insert into doomed_objects (storage, object_key)
    select 'disk', key from unnest(${keys}::text[]) key`.execute(db())
  return keys
}

const removeAccount = ({ token, password }: { token: string; password: string }) =>
  app.request('POST', '/v1/auth/delete_account', { token, body: { password } })

describe('the deletion of an account', () => {
  test('is answered while its objects are still being deleted', async () => {
    const user = await app.register()
    for (let n = 0; n < 3; n++) await generate(app, user.token)
    const gate = Promise.withResolvers<void>()
    replaceDelete(async (key) => {
      await gate.promise
      await genuine(key)
    })
    expect((await removeAccount(user)).status).toBe(204)
    expect(await filesOf(app.dataDir)).toEqual(new Set(await doomed()))
    expect(await doomed()).toHaveLength(3)
    gate.resolve()
    await drain()
    expect(await filesOf(app.dataDir)).toEqual(new Set())
    expect(await doomed()).toEqual([])
  })

  test('that is refused dooms nothing', async () => {
    const user = await app.register()
    await generate(app, user.token)
    expect((await removeAccount({ ...user, password: 'a wrong one' })).status).toBe(401)
    expect(await doomed()).toEqual([])
  })

  test('leaves what its store would not delete to the sweep', async () => {
    const user = await app.register()
    await generate(app, user.token)
    replaceDelete(refuse)
    await removeAccount(user)
    await drain()
    expect(await doomed()).toHaveLength(1)
    replaceDelete(genuine)
    expect(await sweepDoomed()).toEqual({ task: 'doomed objects', removed: 1 })
    expect(await filesOf(app.dataDir)).toEqual(new Set())
    expect(await doomed()).toEqual([])
  })
})

describe('the deletion of a generation', () => {
  test('has deleted its objects when it is answered, and no others', async () => {
    const { token } = await app.register()
    const [kept, gone] = [await generate(app, token), await generate(app, token, { n: 2 })]
    expect((await app.request('DELETE', `/v1/generations/${gone.id}`, { token })).status).toBe(204)
    expect(await doomed()).toEqual([])
    const [left, ...more] = await filesOf(app.dataDir)
    expect(more).toEqual([])
    expect(new URL(kept.url).pathname).toBe(`/files/${left}`)
  })

  test('leaves what its store would not delete to the sweep', async () => {
    const { token } = await app.register()
    const { id } = await generate(app, token)
    replaceDelete(refuse)
    expect((await app.request('DELETE', `/v1/generations/${id}`, { token })).status).toBe(204)
    expect(await doomed()).toEqual([...(await filesOf(app.dataDir))])
    replaceDelete(genuine)
    await sweepDoomed()
    expect([await doomed(), ...(await filesOf(app.dataDir))]).toEqual([[]])
  })
})

describe('the sweep of doomed objects', () => {
  test('finishes what a process left that died, however young, and nothing else', async () => {
    const live = await plantFiles(app.dataDir, 50, 48)
    await plantRows(db(), live)
    await plantDoomed(350)
    expect(await sweepDoomed()).toEqual({ task: 'doomed objects', removed: 350 })
    expect(await filesOf(app.dataDir)).toEqual(new Set(live))
    expect(await doomed()).toEqual([])
  })

  test('twice at once deletes each object once', async () => {
    const keys = await plantDoomed(400)
    const asked: string[] = []
    replaceDelete(async (key) => {
      asked.push(key)
      await genuine(key)
    })
    const runs = await Promise.all([sweepDoomed(), sweepDoomed()])
    expect(runs.reduce((sum, run) => sum + (run?.removed ?? 0), 0)).toBe(400)
    expect(asked.toSorted()).toEqual(keys.toSorted())
  })

  test('keeps what its store refuses for the next time, and goes on with the rest', async () => {
    const keys = await plantDoomed(250)
    const bad = new Set([keys[3], keys[120], keys[249]])
    replaceDelete((key) => (bad.has(key) ? refuse() : genuine(key)))
    expect(await sweepDoomed()).toMatchObject({ removed: 247 })
    expect(new Set(await doomed())).toEqual(bad)
    replaceDelete(genuine)
    expect(await sweepDoomed()).toMatchObject({ removed: 3 })
  })

  test('does not ask a store again and again that refuses everything', async () => {
    await plantDoomed(300)
    let asked = 0
    replaceDelete(() => {
      asked++
      return refuse()
    })
    expect((await sweepDoomed())?.error).toBeInstanceOf(ObjectStoreError)
    expect(asked).toBeLessThan(20)
    expect(await doomed()).toHaveLength(300)
    replaceDelete(genuine)
    expect(await sweepDoomed()).toMatchObject({ removed: 300 })
  })

  test('stops between two batches when it is told to', async () => {
    await plantDoomed(250)
    const stopping = new AbortController()
    replaceDelete((key) => {
      stopping.abort()
      return genuine(key)
    })
    await sweep(app.service.deps, stopping.signal)
    expect(await doomed()).toHaveLength(150)
  })

  test('leaves alone what another process has just taken, until that must have died', async () => {
    await plantDoomed(1)
    await sql`update doomed_objects set retry_at = now() + interval '9 minutes'`.execute(db())
    expect(await sweepDoomed()).toMatchObject({ removed: 0 })
    await sql`update doomed_objects set retry_at = retry_at - interval '9 minutes'`.execute(db())
    expect(await sweepDoomed()).toMatchObject({ removed: 1 })
  })

  test('waits for a store that is not configured, and says so', async () => {
    await db()
      .insertInto('doomed_objects')
      .values({ storage: 's3', object_key: 'u/x/y.png' })
      .execute()
    expect(await sweepDoomed()).toMatchObject({ removed: 0 })
    expect(await doomed()).toEqual(['u/x/y.png'])
    expect(app.logs).toContainEqual(expect.objectContaining({ level: 40, storage: 's3' }))
  })
})
