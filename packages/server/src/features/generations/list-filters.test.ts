import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idOf, newUuid, parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

interface Made {
  id: string
  prompt: string
  at: string
}

/** Rows as several processes may write them: at any time, under any id. */
async function insert(user: Account, rows: Partial<Made>[]): Promise<void> {
  for (const { id = newUuid(), prompt = 'a banana', at = '2026-05-01T00:00:00Z' } of rows)
    await sql`insert into generations (id, user_id, mode, status, model, prompt, size, n, created_at)
      values (${id}, ${parseId('user', user.id)}, 'live', 'succeeded', 'm', ${prompt}, '1K', 1,
        ${at}::timestamptz)`.execute(app.database.handle.db)
}

async function list(user: Account, filters: Record<string, string>) {
  const query = new URLSearchParams(filters).toString()
  return app.request('GET', `/v1/generations?${query}`, { token: user.token })
}

async function promptsOf(user: Account, filters: Record<string, string>): Promise<string[]> {
  const { status, json, text } = await list(user, filters)
  if (status !== 200) throw new Error(text)
  return json.data.map(({ prompt }: Made) => prompt)
}

describe('?q', () => {
  const PROMPTS = [
    'a red banana on the moon',
    'A Red Car',
    'the moon, 100% full',
    'snake_case on a wall',
    'snakeXcase on a wall',
    String.raw`C:\bananas`,
    'été à la plage',
    'Собака в лесу',
    '香蕉宇航员',
    "it's “quoted”; drop table generations --",
  ]
  let user: Account
  beforeAll(async () => {
    user = await app.register()
    await insert(
      user,
      PROMPTS.map((prompt) => ({ prompt })),
    )
  })
  const found = async (q: string) => new Set(await promptsOf(user, { q, limit: '100' }))

  test.each<[string, number[]]>([
    ['red', [0, 1]],
    ['RED', [0, 1]],
    ['moon red', [0]],
    ['  moon\t banana  ', [0]],
    ['red red', [0, 1]],
    ['ban', [0, 5]],
    ['moon car', []],
    ['%', [2]],
    ['100% moon', [2]],
    ['_', [3]],
    ['e_c', [3]],
    ['\\', [5]],
    ['c:\\b', [5]],
    ['\\%', []],
    ['ÉTÉ', [6]],
    ['e\u0301te\u0301', [6]],
    ['СОБАКА', [7]],
    ['香蕉', [8]],
    ["it's", [9]],
    ["' or '1'='1", []],
    ['', PROMPTS.map((_, n) => n)],
    [' ', PROMPTS.map((_, n) => n)],
  ])('%j', async (q, expected) => {
    expect(await found(q)).toEqual(new Set(expected.map((n) => PROMPTS[n])))
  })

  test('finds what holds every word, whatever characters they are made of', async () => {
    const characters = fc.constantFrom(
      '%',
      '_',
      '\\',
      'a',
      'B',
      ' ',
      '\n',
      "'",
      '"',
      '*',
      '[',
      '🍌',
    )
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: characters, maxLength: 8 }), async (q) => {
        const words = q.toLowerCase().split(/\s+/)
        const expected = PROMPTS.filter((prompt) =>
          words.every((word) => prompt.toLowerCase().includes(word)),
        )
        expect(await found(q)).toEqual(new Set(expected))
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['200 characters', '🍌'.repeat(200), 200],
    ['201 characters', '🍌'.repeat(201), 400],
    ['a great many', 'x'.repeat(6000), 400],
    ['10 words', 'a '.repeat(10), 200],
    ['11 words', 'a '.repeat(11), 400],
    ['NUL', 'a\0b', 400],
  ])('of %s', async (_, q, status) => {
    const answer = await list(user, { q })
    expect(answer.status).toBe(status)
    if (status === 400) {
      expect(answer.json.error).toMatchObject({ code: 'invalid_input', param: 'q' })
    }
  })

  test('searches in the caller’s own generations only', async () => {
    expect(await promptsOf(await app.register(), { q: 'banana' })).toEqual([])
  })

  test('goes together with the other filters and with pages, over tRPC too', async () => {
    const first = await list(user, { q: 'a', limit: '2', model: 'm', status: 'succeeded' })
    const input = { q: 'a', limit: 100, cursor: first.json.next_cursor }
    const path = `/trpc/generations.list?input=${encodeURIComponent(JSON.stringify(input))}`
    const rest = await app.request('GET', path, user)
    const all = [...first.json.data, ...rest.json.result.data.data]
    expect(all.map(({ prompt }) => prompt)).toEqual(await promptsOf(user, { q: 'A' }))
    expect(await promptsOf(user, { q: 'a', model: 'other' })).toEqual([])
  })
})

describe('?created_after and ?created_before', () => {
  const second = (n: number) => `2026-05-01T00:00:0${n}.000Z`
  let user: Account
  beforeAll(async () => {
    user = await app.register()
    await insert(
      user,
      [0, 1, 2, 3, 4].map((n) => ({ prompt: String(n), at: second(n) })),
    )
  })

  test.each<[string, Record<string, string>, string]>([
    ['the first is part of it', { created_after: second(2) }, '432'],
    ['the second is not', { created_before: second(2) }, '10'],
    ['together', { created_after: second(1), created_before: second(3) }, '21'],
    ['adjoining', { created_after: second(3), created_before: second(4) }, '3'],
    ['an empty time', { created_after: second(3), created_before: second(1) }, ''],
    ['without milliseconds', { created_after: '2026-05-01T00:00:03Z' }, '43'],
    ['of another zone', { created_after: '2026-05-01T02:00:03+02:00' }, '43'],
    ['the earliest', { created_after: '0001-01-01T00:00:00Z' }, '43210'],
    ['the latest', { created_before: '9999-12-31T23:59:59.999999Z' }, '43210'],
  ])('%s', async (_, filters, expected) => {
    expect((await promptsOf(user, filters)).join('')).toBe(expected)
  })

  test.each([
    '',
    'yesterday',
    '2026-05-01',
    '2026-05-01T00:00Z',
    '2026-05-01T00:00:00',
    '2026-05-01 00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-05-01T24:00:00Z',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+23:59',
    '9999-12-31T23:59:59-23:59',
    '-271821-04-20T00:00:00Z',
    '1777593600',
    'infinity',
  ])('refuse %j', async (time) => {
    for (const param of ['created_after', 'created_before']) {
      const { status, json } = await list(user, { [param]: time })
      expect(status).toBe(400)
      expect(json.error).toMatchObject({ code: 'invalid_input', param })
    }
  })

  test('agree to the millisecond with the time that is shown', async () => {
    const owner = await app.register()
    const { key } = await app.createKey(owner)
    const body = { prompt: 'a banana' }
    const { json } = await app.request('POST', '/v1/generate', { token: key, body })
    const at = json.created_at
    const next = new Date(Date.parse(at) + 1).toISOString()
    const count = async (filters: Record<string, string>) =>
      (await promptsOf(owner, { mode: 'test', ...filters })).length
    expect(await count({ created_after: at, created_before: next })).toBe(1)
    expect(await count({ created_after: next })).toBe(0)
    expect(await count({ created_before: at })).toBe(0)
  })
})

describe('the order', () => {
  test('is that of created_at, then of the ids, whatever clocks the processes have', async () => {
    const user = await app.register()
    const ids = Array.from({ length: 8 }, () => newUuid())
    const at = (ms: number) => `2026-05-01T00:00:00.00${ms}Z`
    // The later half by a process whose clock is behind, in pairs of one millisecond.
    const rows = [4, 5, 6, 7, 0, 1, 2, 3].map((from, n) => ({
      id: ids[from]!,
      prompt: String(n),
      at: at(Math.floor(n / 2)),
    }))
    await insert(user, rows.toReversed())
    expect((await promptsOf(user, {})).join('')).toBe('76543210')
    let walked = ''
    let cursor: string | null = ''
    do {
      const { json } = await list(user, { limit: '1', ...(cursor === '' ? {} : { cursor }) })
      walked += json.data[0].prompt
      cursor = json.next_cursor
    } while (cursor !== null)
    expect(walked).toBe('76543210')
    expect((await promptsOf(user, { created_after: at(2) })).join('')).toBe('7654')
  })

  test('loses nothing that was made within one millisecond of the end of a page', async () => {
    const user = await app.register()
    const at = (micros: number) => `2026-05-01T00:00:00.000${micros}Z`
    await insert(
      user,
      [100, 200, 300].map((micros) => ({ at: at(micros) })),
    )
    const { next_cursor: cursor } = (await list(user, { limit: '1' })).json
    expect(await promptsOf(user, { cursor })).toHaveLength(2)
  })

  test('goes on where a page ended when its last entry has been deleted', async () => {
    const user = await app.register()
    const at = (n: number) => `2026-05-0${n}T00:00:00Z`
    await insert(
      user,
      [1, 2, 3].map((n) => ({ prompt: String(n), at: at(n) })),
    )
    const { data, next_cursor: cursor } = (await list(user, { limit: '2' })).json
    const path = `/v1/generations/${data[1].id}`
    expect((await app.request('DELETE', path, { token: user.token })).status).toBe(204)
    expect(await promptsOf(user, { cursor })).toEqual(['1'])
  })

  test('a cursor of a time that nobody has is an empty page, never an error', async () => {
    const user = await app.register()
    await insert(user, [{}])
    const id = idOf('gen', newUuid())
    expect(await promptsOf(user, { cursor: `${id}.0` })).toEqual([])
    expect(await promptsOf(user, { cursor: `${id}.253402300799999` })).toHaveLength(1)
  })
})
