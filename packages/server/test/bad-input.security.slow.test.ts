import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { listProcedures, type ProcedureFacts } from '../src/http/procedures.ts'
import { appRouter } from '../src/router.ts'
import { errorIn } from './answers.ts'
import { callOf, FACES, type Face, type Input, send } from './calls.ts'
import type { Account, TestApp } from './harness.ts'
import { openPort, type RawOptions, requestText, say } from './raw-http.ts'
import { createWorld, formOf, generate, missingId, SMALL } from './world.ts'

const PROCEDURES = listProcedures(appRouter)
const procedureOf = (name: string) => PROCEDURES.find((one) => one.name === name)!
const TAKES_BODY = PROCEDURES.filter(({ rest }) => !['GET', 'DELETE'].includes(rest!.method))
const pathOf = ({ rest }: ProcedureFacts) =>
  rest!.path
    .replace('{id}', missingId(rest!.path.startsWith('/v1/webhooks') ? 'wh' : 'key'))
    .replace('{delivery_id}', missingId('dlv'))

let app: TestApp
let port: number
let alice: Account
let cases = 0

beforeAll(async () => {
  app = await createWorld()
  alice = await app.register()
  port = await openPort(app)
})
afterAll(() => app[Symbol.asyncDispose]())

/** Counts a refusal and checks all that every refusal must have; answers its error. */
function refusal(answer: Parameters<typeof errorIn>[0], face: Face = 'rest') {
  cases++
  const error = errorIn(answer, face)
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.status).toBeLessThan(500)
  return error
}

async function refused(face: Face, procedure: ProcedureFacts, input: Input) {
  const answer = await send(app, callOf(face, procedure, input), { token: alice.token })
  return refusal(answer, face)
}

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  app.request('POST', path, { token: alice.token, body, headers })

const get = (path: string) => app.request('GET', path, { token: alice.token })

// ── Generated from the schemas ──

interface JsonSchema {
  type?: string | string[]
  enum?: string[]
  properties?: Record<string, JsonSchema>
  additionalProperties?: JsonSchema | false
  items?: JsonSchema
  anyOf?: JsonSchema[]
  minimum?: number
  maximum?: number
  maxLength?: number
}

interface Field {
  readonly name: string
  readonly schema: JsonSchema
  /** Whether null is one of its values. */
  readonly nullable: boolean
}

function fieldsOf({ input }: ProcedureFacts): Field[] {
  // An empty registry, so that no schema is put behind a reference to its name.
  const schema = z.toJSONSchema(input, {
    io: 'input',
    metadata: z.registry(),
    // The bytes of an image, which are text here and more than that inside.
    unrepresentable: 'any',
  }) as JsonSchema
  if (schema.properties === undefined) throw new Error('the input is no object')
  return Object.entries(schema.properties).map(([name, property]) => {
    // A union of plain types is written as a list of their names.
    const variants = property.anyOf ?? [property.type].flat().map((type) => ({ ...property, type }))
    return {
      name,
      schema: variants.find((one) => one.type !== 'null') ?? property,
      nullable: variants.some((one) => one.type === 'null'),
    }
  })
}

/** Every place of a field where text stands: itself, its entries, its names and values. */
function withText({ name, schema }: Field, text: string): Input[] {
  if (schema.type === 'string') return [{ [name]: text }]
  if (schema.type === 'array') return [{ [name]: [text] }]
  if (schema.type === 'object' && schema.additionalProperties) {
    return [{ [name]: { [text]: 'value' } }, { [name]: { name: text } }]
  }
  return []
}

test('the tables below are made of every field', () => {
  const fields = PROCEDURES.flatMap(fieldsOf)
  const texts = fields.filter((field) => withText(field, 'x').length > 0)
  expect(fields.length).toBeGreaterThanOrEqual(40)
  expect(texts.length).toBeGreaterThanOrEqual(30)
  expect(texts.map((field) => field.name)).toEqual(
    expect.arrayContaining(['email', 'password', 'metadata', 'scopes', 'cursor', 'id', 'prompt']),
  )
})

const BROKEN_TEXTS = {
  'NUL in front': '\0abc',
  'NUL in the middle': 'ab\0cd',
  'NUL at the end': 'abc\0',
  'only NUL': '\0',
  'a lone high surrogate': 'abc\ud83d',
  'a lone low surrogate': '\ude00abc',
  'surrogates the wrong way round': 'a\ude00\ud83db',
}

const FACE_AND_PROCEDURE = FACES.flatMap((face) =>
  PROCEDURES.map((procedure) => ({ face, procedure, name: procedure.name })),
)

describe('AUTH-7: NUL and broken strings are refused in every text', () => {
  test.each(FACE_AND_PROCEDURE)('$name over $face', async ({ face, procedure, name }) => {
    for (const field of fieldsOf(procedure)) {
      for (const text of Object.values(BROKEN_TEXTS)) {
        // A URL cannot hold a lone surrogate; what it can hold instead is tried further down.
        const inUrl = callOf('rest', procedure, { [field.name]: 'x' }).path.includes('x')
        if (face === 'rest' && inUrl && !text.isWellFormed()) continue
        for (const part of withText(field, text)) {
          const error = await refused(face, procedure, { ...formOf(name), ...part })
          expect(error, JSON.stringify(part)).toMatchObject({ code: 'invalid_input' })
          expect(error.param?.startsWith(field.name), JSON.stringify(part)).toBe(true)
        }
      }
    }
  })

  test('as raw bytes in a URL', async () => {
    for (const bytes of [
      '%ED%A0%BD',
      '%ED%B8%80',
      '%ff',
      '%c0%80',
      '%E0%A4%A',
      '%',
      '%zz',
      '%u0000',
    ]) {
      const paths = [
        `/v1/keys?cursor=${bytes}`,
        `/v1/keys?${bytes}=1`,
        `/v1/keys/${bytes}`,
        `/v1/generations/${bytes}`,
        `/v1/images/${bytes}/content`,
        `/v1/images/${missingId('img')}/content?width=${bytes}`,
        `/trpc/keys.list?input=${bytes}`,
        `/trpc/${bytes}`,
        `/files/${bytes}`,
        `/${bytes}`,
      ]
      for (const path of paths) {
        const face = path.startsWith('/trpc/') ? 'trpc' : 'rest'
        expect([400, 404], path).toContain((await get(path)).status)
        refusal(await get(path), face)
      }
    }
  })

  test('as invalid UTF-8 in a body', async () => {
    const body = Buffer.from('{"name":"a\xff\xfeb","mode":"test"}', 'latin1').toString('latin1')
    const headers = [`Authorization: Bearer ${alice.token}`, 'Content-Type: application/json']
    const whole = requestText('POST /v1/keys', [...headers, `Content-Length: ${body.length}`], body)
    expect(refusal(await say(port, whole)).code).toMatch(/^invalid_(?:json|input)$/)
    const chunked = requestText(
      'POST /v1/keys',
      [...headers, 'Transfer-Encoding: chunked'],
      `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    )
    expect(refusal(await say(port, chunked)).code).toMatch(/^invalid_(?:json|input)$/)
  })
})

/** Values that a field of the type never takes, in JSON. */
function wrongValues({ schema, nullable }: Field): unknown[] {
  const { type, minimum, maximum, maxLength } = schema
  const never = [...(nullable ? [] : [null]), { a: 1 }, [[1]]]
  switch (type) {
    case 'string':
      return [
        ...never,
        1,
        true,
        [],
        {},
        ...(schema.enum === undefined ? [] : ['', 'x', '__proto__', 'constructor']),
        ...(maxLength === undefined ? [] : ['x'.repeat(maxLength + 1)]),
      ]
    case 'integer':
    case 'number':
      return [
        ...never,
        '1',
        '',
        true,
        [1],
        ...(type === 'integer' ? [1.5, 1e-9] : []),
        ...(minimum === undefined ? [] : [minimum - 1]),
        ...(minimum === undefined || minimum < 1 ? [] : [-0]),
        ...(maximum === undefined ? [] : [maximum + 1, 1e300]),
      ]
    case 'boolean':
      return [...never, 'true', 0, 1, 'false']
    case 'array':
      return [
        ...never,
        'read',
        {},
        [null],
        ['nope'],
        [1],
        Array.from({ length: 101 }, () => 'read'),
      ]
    case 'object':
      return [null, 'x', 1, [], ['a'], { a: 1 }, { a: null }, { a: {} }, { a: ['x'] }]
    default:
      throw new Error(`no wrong values of type ${type}`)
  }
}

describe('IN-5: values of another type, or one over a bound, are refused', () => {
  const inJson = FACE_AND_PROCEDURE.filter(
    ({ face, procedure }) => face === 'trpc' || TAKES_BODY.includes(procedure),
  )
  test.each(inJson)('$name over $face', async ({ face, procedure, name }) => {
    for (const field of fieldsOf(procedure)) {
      if (face === 'rest' && field.name === 'id') continue
      for (const value of wrongValues(field)) {
        const error = await refused(face, procedure, { ...formOf(name), [field.name]: value })
        const what = `${field.name}: ${JSON.stringify(value)}`.slice(0, 100)
        expect(error.code, what).toBe('invalid_input')
        if (!Array.isArray(value) || value.length <= 100) {
          expect(error.param?.split('.', 1)[0], what).toBe(field.name)
        }
      }
    }
  })

  test.each(inJson)('$name over $face takes an object only', async ({ face, procedure }) => {
    const { path, method } = callOf(face, procedure, formOf(procedure.name))
    for (const text of ['null', '1', '"x"', 'true', '[]', '[{}]']) {
      const answer =
        method === 'GET'
          ? await get(`/trpc/${procedure.name}?input=${encodeURIComponent(text)}`)
          : await app.request(method, path, { token: alice.token, body: text })
      expect(refusal(answer, face).code, text).toBe('invalid_input')
    }
  })

  test('numbers that JSON cannot say', async () => {
    for (const number of [
      'NaN',
      'Infinity',
      '-Infinity',
      '0x10',
      '01',
      '+1',
      '1.',
      '.5',
      '1_000',
    ]) {
      const body = `{"name":"x","monthly_limit_usd":${number}}`
      expect(refusal(await post('/v1/keys', body)).code, number).toBe('invalid_json')
      expect(refusal(await post('/trpc/keys.create', body), 'trpc').code).toBe('invalid_json')
    }
    for (const number of ['1e309', '-1e309']) {
      const body = `{"name":"x","monthly_limit_usd":${number}}`
      expect(refusal(await post('/v1/keys', body)).code, number).toBe('invalid_input')
      expect(refusal(await post('/trpc/keys.create', body), 'trpc').code).toBe('invalid_input')
    }
  })

  test('numbers in a query', async () => {
    const numbers = [
      '',
      '0',
      '-0',
      '-1',
      '101',
      '1.5',
      '1e1',
      '0x5',
      '05',
      '%2B5',
      '%205',
      '5%20',
      'x',
    ]
    numbers.push('NaN', 'Infinity', '1,2', '٥', '5'.repeat(400), 'true', '[5]')
    for (const number of numbers) {
      for (const path of ['/v1/keys', '/v1/generations']) {
        const error = refusal(
          await get(`${path}?limit=${encodeURI(number).replaceAll('%25', '%')}`),
        )
        expect(error, number).toMatchObject({ code: 'invalid_input', param: 'limit' })
      }
    }
    for (const width of [
      '',
      '0',
      '63',
      '1025',
      '064',
      '6e1',
      '64.5',
      '-64',
      'x',
      '%0064',
      '99999',
    ]) {
      const path = `/v1/images/${missingId('img')}/content?width=${width}`
      expect(refusal(await get(path))).toMatchObject({ code: 'invalid_input', param: 'width' })
    }
  })
})

describe('IN-5: prompts', () => {
  const bad: Record<string, string> = {
    'nothing at all': '',
    'only spaces': '   ',
    'only line feeds': '\n\n\t',
    'only spaces of other alphabets': '\u3000\u00a0\u2003',
    '8193 characters': 'x'.repeat(8193),
    '8193 emoji': '🍌'.repeat(8193),
    'more bytes than 32 kB': 'x'.repeat(32_769),
    'a carriage return': 'a\r\nb',
    'an escape sequence': 'a\u001b[2Jb',
    'a backspace': 'a\bb',
    DEL: 'a\u007f',
    'a C1 control': 'a\u0085b',
  }
  test.each(Object.entries(bad))('refuses %s', async (_, prompt) => {
    for (const face of FACES) {
      const error = await refused(face, procedureOf('generate'), { prompt, ...SMALL })
      expect(error).toMatchObject({ code: 'invalid_input', param: 'prompt' })
    }
  })

  const good: Record<string, string> = {
    '8192 characters': 'x'.repeat(8192),
    '8192 emoji, which are 32 kB': '🍌'.repeat(8192),
    '8192 characters once composed': 'e\u0301'.repeat(8192),
    'tabs and line feeds': 'a\tb\nc',
  }
  test.each(Object.entries(good))('takes %s', async (_, prompt) => {
    const made = await generate(app, alice.token, { prompt, mode: 'test' })
    expect(made.prompt).toBe(prompt.normalize('NFC'))
  })
})

describe('bounds that one type does not say', () => {
  const emoji = (count: number) => '🍌'.repeat(count)
  const pairs = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, 'v']))
  const generateWith = (part: Input): [string, Input] => ['generate', { prompt: 'x', ...part }]
  const keyWith = (part: Input): [string, Input] => ['keys.create', { name: 'x', ...part }]

  const bad: [string, Input][] = [
    generateWith({ metadata: pairs(17) }),
    generateWith({ metadata: { [emoji(65)]: 'v' } }),
    generateWith({ metadata: { '': 'v' } }),
    generateWith({ metadata: { n: emoji(513) } }),
    generateWith({ user: emoji(65) }),
    generateWith({ model: '' }),
    generateWith({ aspect_ratio: '16:10' }),
    generateWith({ size: '8K' }),
    keyWith({ name: '' }),
    keyWith({ name: '   ' }),
    keyWith({ name: emoji(65) }),
    keyWith({ scopes: [] }),
    keyWith({ scopes: ['read', 'read'] }),
    keyWith({ scopes: ['admin'] }),
    keyWith({ expires_at: 'tomorrow' }),
    keyWith({ expires_at: '2030-01-31' }),
    keyWith({ expires_at: '2030-01-31T00:00:00' }),
    keyWith({ expires_at: '2030-02-30T00:00:00Z' }),
    keyWith({ expires_at: '2020-01-01T00:00:00Z' }),
    keyWith({ expires_at: '0000-01-01T00:00:00Z' }),
    ['auth.register', { email: 'x', password: 'correct horse' }],
    ['auth.register', { email: 'a@b@c.example', password: 'correct horse' }],
    ['auth.register', { email: 'a@c.example\r\nBcc: x', password: 'correct horse' }],
    ['auth.register', { email: `${'a'.repeat(65)}@c.example`, password: 'correct horse' }],
    ['auth.register', { email: 'a@\u202ec.example', password: 'correct horse' }],
    ['auth.register', { email: 'ok@c.example', password: 'correct horse', name: ' ' }],
    ['auth.register', { email: 'ok@c.example', password: 'correct horse', name: emoji(65) }],
    ['auth.login', { email: 'ok@c.example', password: '' }],
    ['usage.get', { from: '2026-02-30' }],
    ['usage.get', { from: '2026-1-1' }],
    ['usage.get', { from: '2026-01-02', to: '2026-01-01' }],
    ['usage.get', { from: '2026-01-01', to: '2027-01-02' }],
    ['usage.get', { from: '0000-01-01', to: '0000-12-31' }],
    ['usage.get', { from: '-000001-01-01' }],
    ['usage.get', { from: '9999-12-31T00:00:00Z' }],
    ['usage.get', { group_by: 'toString' }],
    ['generations.list', { status: 'done' }],
    ['generations.list', { model: '' }],
    ['generations.list', { key_id: missingId('gen') }],
    ['keys.update', { id: missingId('key') }],
  ]
  const rows = FACES.flatMap((face) => bad.map(([name, input]) => ({ face, name, input })))
  test.each(rows)('$name over $face refuses $input', async ({ face, name, input }) => {
    expect((await refused(face, procedureOf(name), input)).code).toBe('invalid_input')
  })

  test('at the bound they are taken', async () => {
    const metadata = { ...pairs(14), [emoji(64)]: emoji(512), constructor: 'x' }
    const made = await generate(app, alice.token, { mode: 'test', metadata, user: emoji(64) })
    expect(made).toMatchObject({ metadata, user: emoji(64) })
    const input = { name: emoji(64), mode: 'test', monthly_limit_usd: 1_000_000 }
    const key = await post('/v1/keys', { ...input, expires_at: '9999-12-31T23:59:59.999Z' })
    expect(key.json).toMatchObject({ ...input, expires_at: '9999-12-31T23:59:59.999Z' })
    const year = await get('/v1/usage?from=2024-01-01&to=2024-12-31&mode=test')
    expect(year.status).toBe(200)
    expect((await get('/v1/usage?from=9999-12-31&to=9999-12-31')).status).toBe(200)
    expect((await get('/v1/usage?from=0001-01-01&to=0001-01-01')).status).toBe(200)
  })

  test('a time that leaves the four-digit years once it is UTC', async () => {
    const expires_at = '9999-12-31T23:59:59-23:59'
    for (const face of FACES) {
      const error = await refused(face, procedureOf('keys.create'), { name: 'x', expires_at })
      expect(error).toMatchObject({ code: 'invalid_input', param: 'expires_at' })
    }
  })

  test('a model that does not exist', async () => {
    for (const model of ['gpt', '__proto__', 'constructor', 'toString', "' or 1=1 --"]) {
      for (const face of FACES) {
        const error = await refused(face, procedureOf('generate'), { prompt: 'x', model })
        expect(error).toMatchObject({ code: 'model_not_found', param: 'model' })
      }
      const found = await get(`/v1/generations?model=${encodeURIComponent(model)}`)
      expect(found.json).toEqual({ data: [], next_cursor: null })
    }
  })
})

// ── Names and shapes ──

describe('IN-8: an unknown field is refused by its name', () => {
  const NAMES = [
    'zzz',
    'Name',
    ' name',
    'name ',
    'n\u0430me',
    'limit[]',
    'a.b',
    '😀'.repeat(60),
    '$where',
  ]
  test.each(FACE_AND_PROCEDURE)('$name over $face', async ({ face, procedure, name }) => {
    for (const field of NAMES) {
      const error = await refused(face, procedure, { ...formOf(name), [field]: 'x' })
      expect(error).toMatchObject({ code: 'invalid_input', param: field })
    }
    for (const field of [
      'a\nb',
      'a\u2028b',
      '\u001b[2J',
      'x'.repeat(3000),
      `a${'😀'.repeat(150)}`,
    ]) {
      const error = await refused(face, procedure, { ...formOf(name), [field]: 'x' })
      expect(error.code).toBe('invalid_input')
      expect(error.param?.length).toBeLessThanOrEqual(200)
    }
  })

  test('in the query of a route that takes a body, or of an image', async () => {
    for (const procedure of TAKES_BODY) {
      const { method, path, body } = callOf('rest', procedure, formOf(procedure.name))
      const answer = await app.request(method, `${path}?name=x`, { token: alice.token, body })
      expect(refusal(answer)).toMatchObject({ code: 'invalid_input', param: 'name' })
    }
    const image = `/v1/images/${missingId('img')}/content`
    for (const query of ['w=64', 'width=64&x=1', 'a%0ab=1']) {
      expect(refusal(await get(`${image}?${query}`)).code).toBe('invalid_input')
    }
    for (const query of ['input=%7B%7D&x=1', 'input=%7B%7D&input=%7B%7D', 'connectionParams=1']) {
      const error = refusal(await get(`/trpc/keys.list?${query}`), 'trpc')
      expect(error.code).toBe('invalid_input')
    }
  })

  test('a body where none is taken', async () => {
    const { token } = alice
    const path = `/v1/keys/${missingId('key')}`
    for (const body of [{}, { id: 'x' }, 'null', '[]']) {
      expect(refusal(await app.request('DELETE', path, { token, body })).code).toBe('invalid_input')
    }
  })
})

describe('IN-9: a scalar given twice is refused', () => {
  const inQuery = PROCEDURES.filter(({ rest }) => rest!.method === 'GET').flatMap((procedure) =>
    fieldsOf(procedure)
      .filter((field) => field.name !== 'id')
      .map((field) => ({ procedure, field: field.name, name: procedure.name })),
  )
  test.each(inQuery)('$field of $name', async ({ procedure, field, name }) => {
    const value = formOf(name)[field] ?? '2'
    const error = refusal(await get(`${pathOf(procedure)}?${field}=${value}&${field}=${value}`))
    expect(error).toMatchObject({ code: 'invalid_input', param: field })
  })

  test('width of an image', async () => {
    const path = `/v1/images/${missingId('img')}/content?width=64&width=64`
    expect(refusal(await get(path))).toMatchObject({ code: 'invalid_input', param: 'width' })
  })
})

describe('IN-4: names that would change prototypes are refused', () => {
  const POISONED = [
    '{"__proto__":{"x":1}}',
    '{"\\u005f_proto__":{"x":1}}',
    '{"\\u005F\\u005fpr\\u006fto__" : {"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"prompt":"x","metadata":{"__proto__":"x"}}',
    '{"prompt":"x","metadata":{"constructor":{"prototype":{"x":1}}}}',
    '{"0":{"__proto__":{"x":1}}}',
    '[{"__proto__":{"x":1}}]',
  ]
  test.each(TAKES_BODY.map((procedure) => ({ procedure, name: procedure.name })))(
    'in the body of $name',
    async ({ procedure, name }) => {
      for (const body of POISONED) {
        const { method } = procedure.rest!
        const rest = await app.request(method, pathOf(procedure), { token: alice.token, body })
        expect(refusal(rest).code, body).toMatch(/^invalid_/)
        expect(refusal(await post(`/trpc/${name}`, body), 'trpc').code, body).toMatch(/^invalid_/)
        const batch = await post(`/trpc/${name}?batch=1`, body)
        expect(refusal(batch, 'trpc').code, body).toBe('invalid_json')
      }
    },
  )

  const QUERIES = [
    '__proto__=1',
    '__proto__[x]=1',
    '__proto__.x=1',
    'constructor=1',
    'constructor[prototype][x]=1',
    'constructor.prototype.x=1',
    'prototype=1',
    '%5f%5fproto%5f%5f=1',
    'a=1&__proto__=1',
  ]
  test.each(QUERIES)('in the query: %s', async (query) => {
    for (const { rest } of PROCEDURES.filter((one) => one.rest!.method === 'GET')) {
      const path = rest!.path.replace('{id}', missingId('gen'))
      expect(refusal(await get(`${path}?${query}`)).code).toBe('invalid_input')
    }
    expect(refusal(await get(`/trpc/keys.list?${query}`), 'trpc').code).toBe('invalid_input')
    expect(refusal(await get(`/v1/images/${missingId('img')}/content?${query}`)).code).toBe(
      'invalid_input',
    )
  })

  test.each(POISONED)('in the input of a tRPC query: %s', async (text) => {
    const input = encodeURIComponent(text)
    for (const { name } of PROCEDURES.filter((one) => one.type === 'query')) {
      expect(refusal(await get(`/trpc/${name}?input=${input}`), 'trpc').code).toBe('invalid_json')
      expect(refusal(await get(`/trpc/${name}?batch=1&input=${input}`), 'trpc').code).toBe(
        'invalid_json',
      )
    }
  })

  test('as the name of a procedure, or of a route', async () => {
    for (const name of [
      '__proto__',
      'constructor',
      'keys.__proto__',
      'keys.constructor',
      'toString',
    ]) {
      expect(refusal(await get(`/trpc/${name}`), 'trpc').code).toBe('route_not_found')
      expect(refusal(await post(`/trpc/${name}`, {}), 'trpc').code).toBe('route_not_found')
      expect(refusal(await get(`/v1/${name}`)).code).toBe('route_not_found')
    }
  })
})

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

describe('IN-3: depth and width', () => {
  test.each(TAKES_BODY.map((procedure) => ({ procedure, name: procedure.name })))(
    '$name',
    async ({ procedure, name }) => {
      const requests = [
        (body: string) =>
          app.request(procedure.rest!.method, pathOf(procedure), { token: alice.token, body }),
        (body: string) => post(`/trpc/${name}`, body),
      ]
      for (const [i, request] of requests.entries()) {
        const face = FACES[i]!
        const message = async (body: string) => {
          const error = refusal(await request(body), face)
          expect(error.code).toBe('invalid_input')
          return error.message
        }
        expect(await message(`{"zzz":${nested(31)}}`)).not.toMatch(/nests deeper/)
        expect(await message(`{"zzz":${nested(32)}}`)).toMatch(/nests deeper than 32/)
        expect(await message(nested(32_000))).toMatch(/nests deeper than 32/)
        expect(await message('{"a":'.repeat(10_000))).toMatch(/nests deeper than 32/)
        expect(await message(`{"zzz":"${'['.repeat(100)}"}`)).not.toMatch(/nests deeper/)
        const list = (length: number) => JSON.stringify({ zzz: Array.from({ length }, () => 1) })
        expect(await message(list(100))).not.toMatch(/at most 100/)
        expect(await message(list(101))).toMatch(/at most 100/)
        const object = (length: number) =>
          JSON.stringify(Object.fromEntries(Array.from({ length }, (_, n) => [`f${n}`, 1])))
        expect(await message(object(100))).not.toMatch(/at most 100/)
        expect(await message(object(101))).toMatch(/at most 100/)
      }
    },
  )

  test('in the input of a tRPC query', async () => {
    const input = encodeURIComponent(`{"zzz":${nested(32)}}`)
    const error = refusal(await get(`/trpc/keys.list?input=${input}`), 'trpc')
    expect(error.message).toMatch(/nests deeper than 32/)
  })
})

describe('malformed JSON', () => {
  const TEXTS = [
    '{',
    '{"a":1,}',
    "{'a':1}",
    '{"a":1}{',
    'undefined',
    '{"a":"\n"}',
    '\u0000{}',
    '{"a" 1}',
    '{}x',
    '\ufeff\ufeff{}',
    '   ',
  ]
  test.each(TAKES_BODY.map((procedure) => ({ procedure, name: procedure.name })))(
    'is refused by $name',
    async ({ procedure, name }) => {
      for (const body of TEXTS) {
        const { method } = procedure.rest!
        const rest = await app.request(method, pathOf(procedure), { token: alice.token, body })
        expect(refusal(rest).code, body).toBe('invalid_json')
        expect(refusal(await post(`/trpc/${name}`, body), 'trpc').code, body).toBe('invalid_json')
      }
    },
  )

  test('is refused in the input of a tRPC query', async () => {
    for (const text of TEXTS) {
      const error = refusal(await get(`/trpc/keys.list?input=${encodeURIComponent(text)}`), 'trpc')
      expect(error.code, text).toBe('invalid_json')
    }
  })
})

describe('IN-2: media types', () => {
  const REFUSED = [
    'text/plain',
    'text/json',
    'text/html',
    'application/x-www-form-urlencoded',
    'application/octet-stream',
    'application/xml',
    'application/jsonp',
    'application/json-patch+json',
    'application/vnd.api+json',
    'application/jsonx',
    'application/json, text/plain',
    'application/json application/json',
    'text/plain; application/json',
    '*/*',
    'json',
    '',
  ]
  /** Taken where a procedure takes images. */
  const FORMS = ['multipart/form-data; boundary=x', 'Multipart/Form-Data', 'multipart/form-data']
  const ODD = [
    'application/json;',
    'application/json ;charset=utf-8',
    'application/json\t',
    'application/json\t;charset=utf-8',
    'application/json;\tcharset=utf-8',
    'application/json; charset',
    'application/json;;',
    'application/json; charset="utf-8',
    'application/json; charset=utf-16',
    'application/json\u00a0',
    'application/json\u000b',
    'Application/JSON;x=y',
    ' application/json',
  ]
  const TAKEN = ['application/json', 'application/json; charset=utf-8', 'Application/JSON']

  test.each(TAKES_BODY.map((procedure) => ({ procedure, name: procedure.name })))(
    'of the body of $name',
    async ({ procedure, name }) => {
      const notTaken = [...REFUSED, ...(procedure.takesUploads ? [] : FORMS)]
      const body = JSON.stringify({ ...formOf(name), zzz: 1 })
      const { method } = procedure.rest!
      const calls = [
        (type: string) =>
          app.request(method, pathOf(procedure), {
            token: alice.token,
            body,
            headers: { 'content-type': type },
          }),
        (type: string) => post(`/trpc/${name}`, body, { 'content-type': type }),
      ]
      for (const [i, call] of calls.entries()) {
        const face = FACES[i]!
        for (const type of notTaken) {
          expect(refusal(await call(type), face).code, type).toBe('unsupported_media_type')
        }
        // Refused for its type, or read as JSON and refused for its field: never taken unread.
        for (const type of ODD) expect([400, 415], type).toContain((await call(type)).status)
        for (const type of ODD) refusal(await call(type), face)
        for (const type of TAKEN) expect(refusal(await call(type), face).code).toBe('invalid_input')
      }
    },
  )

  test('none, or two', async () => {
    const body = '{"name":"x","zzz":1}'
    const lines = [`Authorization: Bearer ${alice.token}`, `Content-Length: ${body.length}`]
    for (const [path, face] of [
      ['/v1/keys', 'rest'],
      ['/trpc/keys.create', 'trpc'],
    ] as const) {
      const call = (...types: string[]) =>
        say(port, requestText(`POST ${path}`, [...lines, ...types], body))
      expect(refusal(await call(), face).code).toBe('unsupported_media_type')
      for (const second of ['application/json', 'text/plain']) {
        const answer = await call('Content-Type: application/json', `content-type: ${second}`)
        expect(refusal(answer, face).code).toBe('invalid_input')
      }
    }
  })

  test('an encoded body is refused, never inflated', async () => {
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'GZIP', 'identity, gzip', 'x', '']) {
      const headers = { 'content-encoding': encoding }
      for (const path of ['/v1/keys', '/v1/generate', '/v1/auth/login']) {
        const answer = await post(path, { zzz: 1 }, headers)
        if (encoding === '') expect(refusal(answer).code).toMatch(/invalid_input|media_type/)
        else expect(refusal(answer).code).toBe('unsupported_media_type')
      }
      refusal(await post('/trpc/keys.create', { zzz: 1 }, headers), 'trpc')
    }
  })
})

describe('IN-9: URLs and headers', () => {
  const pairs = (count: number) => Array.from({ length: count }, (_, i) => `p${i}=1`).join('&')

  test('a query of more than 50 pairs is refused on every route', async () => {
    const paths = [...new Set(app.service.http.routes.map(({ url }) => url))]
    expect(paths.length).toBeGreaterThan(15)
    for (const url of paths) {
      const path = url.replace(':id', missingId('key')).replace(':path', 'keys.list')
      const error = refusal(
        await get(`${path}?${pairs(51)}`),
        url.startsWith('/trpc') ? 'trpc' : 'rest',
      )
      expect(error).toMatchObject({ code: 'invalid_input', message: expect.stringMatching('50') })
    }
    expect(refusal(await get(`/v1/keys?${pairs(50)}`)).param).toBe('p0')
  })

  test('a URL of more than 8 kB is refused on every route', async () => {
    const url = (path: string, length: number) => path + 'x'.repeat(length - path.length)
    for (const path of ['/v1/keys?cursor=', '/v1/keys/', '/v1/images/', '/files/u/', '/nowhere/']) {
      expect(refusal(await get(url(path, 8193))).code).toBe('uri_too_long')
      expect(refusal(await get(url(path, 8192))).code).not.toBe('uri_too_long')
    }
    for (const path of ['/trpc/keys.list?input=', '/trpc/']) {
      expect(refusal(await get(url(path, 8193)), 'trpc').code).toBe('uri_too_long')
    }
  })

  test('a header block of more than 16 kB is refused', async () => {
    const call = (bytes: number) =>
      say(port, requestText('GET /v1/models', [`X-Filler: ${'x'.repeat(bytes)}`]))
    expect(refusal(await call(16_384)).code).toBe('headers_too_large')
    expect(refusal(await call(15_000)).code).toBe('invalid_token')
    const many = Array.from({ length: 3000 }, (_, i) => `h${i}: x`)
    expect(refusal(await say(port, requestText('GET /v1/models', many))).code).toBe(
      'headers_too_large',
    )
  })

  test('a header that stands twice is refused where the second would be dropped', async () => {
    for (const header of ['Host: other.test', 'Content-Type: text/plain']) {
      const lines = ['Content-Type: application/json', 'Content-Length: 2', header]
      const answer = await say(port, requestText('POST /v1/auth/login', lines, '{}'))
      expect(refusal(answer).code).toBe('invalid_input')
    }
  })
})

describe('AUTHZ-2: ids', () => {
  const IDS = [
    'x',
    '%00',
    '%20',
    '.',
    '..',
    '%2e%2e',
    '..%2f..%2fetc',
    'null',
    'undefined',
    '0',
    '-1',
    '__proto__',
    'key_',
    'gen_',
    'img_',
    missingId('key').slice(0, -1),
    `${missingId('key')}0`,
    missingId('key').toUpperCase(),
    missingId('key').replace('01', '81'),
    missingId('user'),
    missingId('KEY'),
    `${missingId('key')}%0a`,
    `%0a${missingId('key')}`,
    '018f4a5e-7c1d-7aaa-8bbb-0123456789ab',
    "'%20or%20'1'='1",
    '%F0%9F%8D%8C',
    'x'.repeat(7000),
  ]
  const CALLS: [string, (id: string) => string][] = [
    ['GET', (id) => `/v1/keys/${id}`],
    ['PATCH', (id) => `/v1/keys/${id}`],
    ['DELETE', (id) => `/v1/keys/${id}`],
    ['POST', (id) => `/v1/keys/${id}/rotate`],
    ['GET', (id) => `/v1/generations/${id}`],
    ['GET', (id) => `/v1/images/${id}/content`],
    ['GET', (id) => `/v1/generations?key_id=${id}`],
    ['GET', (id) => `/v1/keys?cursor=${id}&limit=1`],
    ['GET', (id) => `/v1/generations?cursor=${id}&limit=1`],
    ['GET', (id) => `/files/${id}`],
  ]
  test.each(CALLS)('%s %s', async (method, path) => {
    for (const id of IDS) {
      const body = method === 'PATCH' ? { name: 'x' } : undefined
      const answer = await app.request(method, path(id), { token: alice.token, body })
      // A path of dots is another path, and a whole list is no wrong id.
      if (answer.status < 300) throw new Error(`${method} ${path(id)} answered ${answer.text}`)
      expect([400, 404, 405], `${path(id)} ${answer.text}`).toContain(answer.status)
      refusal(answer)
    }
    expect(refusal(await app.request(method, path('x'.repeat(10_000)), alice)).code).toBe(
      'uri_too_long',
    )
  })

  test('an id of another kind, or a cursor of another list', async () => {
    for (const path of [
      `/v1/keys/${missingId('gen')}`,
      `/v1/generations/${missingId('key')}`,
      `/v1/keys?cursor=${missingId('gen')}`,
      `/v1/generations?cursor=${missingId('key')}`,
      `/v1/generations?key_id=${missingId('user')}`,
    ]) {
      expect(refusal(await get(path)).code, path).toBe('invalid_input')
    }
  })
})

describe('IN-1: size', () => {
  const LIMIT = 64 * 1024
  const padded = (bytes: number) => '{"name":"padded","mode":"test"}'.padEnd(bytes)

  test('a body of 64 kB is taken, one more byte is refused, on every route', async () => {
    expect((await post('/v1/keys', padded(LIMIT))).status).toBe(201)
    for (const procedure of TAKES_BODY) {
      const { method } = procedure.rest!
      const options = { token: alice.token, body: padded(LIMIT + 1) }
      for (const [path, face] of [
        [pathOf(procedure), 'rest'],
        [`/trpc/${procedure.name}`, 'trpc'],
      ] as const) {
        const answer = await app.request(face === 'rest' ? method : 'POST', path, options)
        expect(refusal(answer, face).code).toBe('payload_too_large')
        expect(answer.headers['connection']).toBe('close')
      }
    }
  })

  const upload = (path: string, lines: string[], options: RawOptions) => {
    const credential = `Authorization: Bearer ${alice.token}`
    const headers = ['Content-Type: application/json', credential, ...lines]
    const text = requestText(`POST ${path}`, headers).replace('Connection: close\r\n', '')
    return say(port, text, options)
  }

  test.each(['/v1/auth/login', '/v1/generate', '/trpc/auth.login'])(
    'a gigabyte in chunks to %s is cut off, and its memory is not taken',
    async (path) => {
      const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
      let sent = 0
      const before = process.memoryUsage().rss
      const answer = await upload(path, ['Transfer-Encoding: chunked'], {
        write: (socket) => {
          const more = () => {
            while (!socket.destroyed && sent < 2 ** 30) {
              sent += chunk.length
              if (!socket.write(chunk)) return void socket.once('drain', more)
            }
          }
          more()
        },
      })
      expect(refusal(answer, path.startsWith('/trpc') ? 'trpc' : 'rest').code).toBe(
        'payload_too_large',
      )
      expect(answer.closed).toBe(true)
      expect(sent).toBeLessThan(16 * 2 ** 20)
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20)
    },
  )

  test('a length that is announced is refused before the body comes', async () => {
    const answer = await upload('/v1/auth/login', ['Content-Length: 1073741824'], {})
    expect(refusal(answer).code).toBe('payload_too_large')
    expect(answer).toMatchObject({ closed: true, headers: { connection: 'close' } })
  })

  test('lengths that contradict each other', async () => {
    const lengths = [
      ['Content-Length: 2', 'Transfer-Encoding: chunked'],
      ['Content-Length: 2', 'Content-Length: 3'],
      ['Content-Length: -1'],
      ['Content-Length: 2x'],
      ['Transfer-Encoding: gzip'],
      ['Transfer-Encoding: chunked, identity'],
    ]
    for (const lines of lengths) {
      const answer = await upload('/v1/auth/login', lines, { write: (s) => s.write('{}') })
      expect(refusal(answer).code, lines.join()).toBe('invalid_input')
      expect(answer.closed).toBe(true)
    }
  })
})

test('all that left no trace: no prototype changed, nothing failed inside, the service goes on', async () => {
  expect(({} as { x?: unknown }).x).toBeUndefined()
  expect(Object.keys(Object.prototype)).toEqual([])
  const failures = app.logs.filter((line) => Number(line['level']) >= 50)
  expect(failures).toEqual([])
  expect((await get('/v1/auth/me')).status).toBe(200)
})

test('there were more than two hundred refusals', () => {
  expect(cases).toBeGreaterThanOrEqual(200)
})
