import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idOf, newUuid, parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
let live: { id: string; key: string }
let trial: { id: string; key: string }
/** Ids of the account's generations, oldest first. */
const made: Record<'live' | 'test', string[]> = { live: [], test: [] }

beforeAll(async () => {
  app = await createTestApp()
  user = await app.register()
  live = await app.createKey(user, { mode: 'live' })
  trial = await app.createKey(user, { mode: 'test' })
  const stranger = await app.register()
  const ids = Array.from({ length: 250 }, () => newUuid())
  // Every fifth is of test mode, every third failed, every second was made with a key.
  await sql`insert into generations (id, user_id, key_id, mode, status, model, prompt, size, n)
    select id, ${parseId('user', user.id)}::uuid,
      case when n % 2 = 0 then
        (case when n % 5 = 0 then ${parseId('key', trial.id)} else ${parseId('key', live.id)} end)::uuid
      end,
      case when n % 5 = 0 then 'test' else 'live' end,
      case when n % 3 = 0 then 'failed' else 'succeeded' end,
      case when n % 7 = 0 then 'gemini-3-pro-image' else 'gemini-nano-banana-2.1' end,
      'number ' || n, '1K', 1
    from unnest(${sql.val(ids)}::uuid[]) with ordinality as t(id, n)`.execute(
    app.database.handle.db,
  )
  await sql`insert into generations (id, user_id, mode, status, model, prompt, size, n)
    values (${newUuid()}, ${parseId('user', stranger.id)}, 'live', 'succeeded',
      'gemini-nano-banana-2.1', 'a stranger’s', '1K', 1)`.execute(app.database.handle.db)
  for (const [index, id] of ids.entries())
    made[(index + 1) % 5 === 0 ? 'test' : 'live'].push(idOf('gen', id))
})
afterAll(() => app[Symbol.asyncDispose]())

const list = (query: string, token = user.token) =>
  app.request('GET', `/v1/generations?${query}`, { token })
const numberOf = ({ prompt }: { prompt: string }) => Number(prompt.split(' ')[1])

/** Ids of all pages, in the order they came. */
async function walk(query: string, token = user.token): Promise<string[]> {
  const ids: string[] = []
  let cursor = ''
  do {
    const { status, json } = await list(cursor === '' ? query : `${query}&cursor=${cursor}`, token)
    expect(status).toBe(200)
    ids.push(...json.data.map((one: { id: string }) => one.id))
    cursor = json.next_cursor ?? ''
  } while (cursor !== '')
  return ids
}

describe('pages', () => {
  test.each([1, 7, 20, 40, 100])(
    'of %i hold each of 250 generations once, newest first',
    async (limit) => {
      const mode = limit === 1 ? 'test' : 'live'
      expect(await walk(`limit=${limit}&mode=${mode}`)).toEqual(made[mode].toReversed())
    },
  )

  test('of twenty are the default', async () => {
    const { json } = await list('')
    expect(json.data).toHaveLength(20)
    expect(json.next_cursor).toEqual(expect.any(String))
  })

  test('do not shift when something newer is made meanwhile', async () => {
    const first = await list('limit=40&mode=test')
    const { json } = await app.request('POST', '/v1/generate', {
      token: trial.key,
      body: { prompt: 'newer 0' },
    })
    made.test.push(json.id)
    const rest = await list(`limit=100&mode=test&cursor=${first.json.next_cursor}`)
    expect(first.json.data[0].id).toBe(made.test.at(-2))
    expect(rest.json.data[0].id).toBe(made.test.at(-42))
  })

  test('hold a listed generation as reading it alone does', async () => {
    const { json } = await app.request('POST', '/v1/generate', {
      token: trial.key,
      body: { prompt: 'listed 0', metadata: { a: 'b' } },
    })
    made.test.push(json.id)
    const listed = (await list('limit=1&mode=test')).json.data[0]
    const alone = (await app.request('GET', `/v1/generations/${json.id}`, user)).json
    const { url: _, images, ...rest } = alone
    expect(listed).toMatchObject(rest)
    expect(listed.images[0]).toMatchObject({ sha256: images[0].sha256 })
    expect(listed.url).toMatch(/\/files\/u\//)
  })
})

describe('filters', () => {
  const expected = (keep: (n: number) => boolean) =>
    [...Array(251).keys()].slice(1).filter(keep).toReversed()

  test.each<[string, (n: number) => boolean]>([
    ['status=failed', (n) => n % 5 !== 0 && n % 3 === 0],
    ['status=running', () => false],
    ['model=gemini-3-pro-image', (n) => n % 5 !== 0 && n % 7 === 0],
    ['model=nano-banana-pro', (n) => n % 5 !== 0 && n % 7 === 0],
    ['model=no-such-model', () => false],
    ['status=succeeded&model=nano-banana-pro', (n) => n % 5 !== 0 && n % 7 === 0 && n % 3 !== 0],
  ])('?%s', async (query, keep) => {
    const { json } = await list(`${query}&limit=100`)
    expect(json.data.map(numberOf)).toEqual(expected(keep).slice(0, 100))
  })

  test('?key_id, in the mode asked for', async () => {
    const ofLive = (await list(`key_id=${live.id}&limit=100`)).json.data
    expect(ofLive.map(numberOf)).toEqual(expected((n) => n % 2 === 0 && n % 5 !== 0).slice(0, 100))
    expect((await list(`key_id=${trial.id}`)).json.data).toEqual([])
    expect((await list(`key_id=${trial.id}&mode=test`)).json.data).not.toEqual([])
  })

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['cursor=nonsense', 'cursor'],
    ['cursor=key_01jd5xk3f8e2r9v7m6q4t0w1yz', 'cursor'],
    ['status=done', 'status'],
    ['mode=prod', 'mode'],
    ['key_id=x', 'key_id'],
    ['order=asc', 'order'],
  ])('refuse ?%s', async (query, param) => {
    const { status, json } = await list(query)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code: 'invalid_input', param })
  })
})

describe('security', () => {
  test('a key sees its own mode only, whatever it asks for', async () => {
    for (const query of ['limit=100', 'limit=100&mode=live', 'limit=100&mode=test']) {
      expect(new Set(await walk(query, live.key))).toEqual(new Set(made.live))
      expect(new Set(await walk(query, trial.key))).toEqual(new Set(made.test))
    }
    const get = (id: string, token: string) =>
      app.request('GET', `/v1/generations/${id}`, { token })
    expect((await get(made.live[0]!, live.key)).status).toBe(200)
    expect((await get(made.live[0]!, trial.key)).status).toBe(404)
    expect((await get(made.test[0]!, live.key)).status).toBe(404)
    for (const id of [made.live[0]!, made.test[0]!])
      expect((await get(id, user.token)).status).toBe(200)
  })

  test('AUTHZ-1: a foreign generation, key and cursor are as good as missing', async () => {
    const stranger = await app.register()
    const foreign = await app.request('GET', `/v1/generations/${made.live[0]}`, stranger)
    const missing = await app.request('GET', `/v1/generations/${idOf('gen', newUuid())}`, stranger)
    for (const { status } of [foreign, missing]) expect(status).toBe(404)
    const plain = ({ json }: typeof foreign) => ({ ...json.error, request_id: '' })
    expect(plain(foreign)).toEqual(plain(missing))
    const { next_cursor: cursor } = (await list('limit=1')).json
    for (const query of [`cursor=${cursor}`, `key_id=${live.id}`])
      expect((await list(query, stranger.token)).json.data).toEqual([])
  })

  test.each(['x', '%00', 'gen_', `${'g'.repeat(4000)}`, 'img_01jd5xk3f8e2r9v7m6q4t0w1yz'])(
    'AUTHZ-2: the id %s is 400 or 404, never 500',
    async (id) => {
      const { status } = await app.request('GET', `/v1/generations/${id}`, user)
      expect([400, 404]).toContain(status)
    },
  )

  test.each(['/v1/generations', '/v1/generations/gen_01jd5xk3f8e2r9v7m6q4t0w1yz', '/v1/models'])(
    '%s needs a credential, and of a key the scope read',
    async (path) => {
      expect((await app.request('GET', path)).status).toBe(401)
      const { key } = await app.createKey(user, { scopes: ['generate', 'usage'] })
      const { status, json } = await app.request('GET', path, { token: key })
      expect(status).toBe(403)
      expect(json.error.code).toBe('insufficient_scope')
    },
  )
})
