import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { newRequestId } from '../kernel/ids.ts'
import { requestIdFrom } from '../kernel/log.ts'
import { publicProcedure, router, sessionProcedure } from '../kernel/procedures.ts'
import { addBodyParsing } from './body.ts'
import { addErrorHandlers } from './errors.ts'
import { addSecurityHeaders, SECURITY_HEADERS } from './headers.ts'
import { addMethodNotAllowed, watchRoutes } from './methods.ts'
import { addRest } from './rest.ts'
import { addTrpc } from './trpc.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
const at = (method: Method, path: `/${string}`, status?: 200 | 201 | 204) => ({
  openapi: { method, path },
  ...(status === undefined ? {} : { status }),
})

const Typed = z.strictObject({
  b: z.boolean().optional(),
  n: z.number().min(-10).max(10).optional(),
  i: z.int().default(7),
  list: z.array(z.string()).optional(),
  numbers: z.array(z.number()).optional(),
  s: z.string().nullish(),
})
/** Used by two procedures: what reads it must not change it. */
const Shared = z.strictObject({ n: z.number() })
const echo = publicProcedure.output(z.unknown())

/** Procedures of types that the real router has none of yet. */
const fixture = router({
  typed: echo
    .meta(at('GET', '/v1/typed'))
    .input(Typed)
    .query(({ input }) => input),
  sharedQuery: echo
    .meta(at('GET', '/v1/shared'))
    .input(Shared)
    .query(({ input }) => input),
  sharedBody: echo
    .meta(at('POST', '/v1/shared'))
    .input(Shared)
    .mutation(({ input }) => input),
  typedBody: echo
    .meta(at('POST', '/v1/typed', 201))
    .input(Typed)
    .mutation(({ input }) => input),
  item: echo
    .meta(at('GET', '/v1/items/{name}/parts/{part}'))
    .input(z.strictObject({ name: z.string(), part: z.int(), q: z.string().optional() }))
    .query(({ input }) => input),
  put: echo
    .meta(at('PUT', '/v1/items/{name}/parts/{part}'))
    .input(z.strictObject({ name: z.string(), part: z.int(), q: z.string().optional() }))
    .mutation(({ input }) => input),
  bodyless: publicProcedure
    .meta(at('POST', '/v1/bodyless', 204))
    .input(z.strictObject({}).optional())
    .output(z.void())
    .mutation(() => {}),
  remove: publicProcedure
    .meta(at('DELETE', '/v1/items/{name}', 204))
    .input(z.strictObject({ name: z.string(), force: z.boolean().default(false) }))
    .output(z.void())
    .mutation(({ input, ctx }) => ctx.setHeader('x-forced', String(input.force))),
  dotted: echo
    .meta(at('GET', '/v1/a.b'))
    .input(z.strictObject({}).optional())
    .query(() => 'dotted'),
  thrown: echo
    .meta(at('GET', '/v1/thrown'))
    .input(z.strictObject({}).optional())
    .query(() => {
      throw new Error('CANARY in a message')
    }),
  refused: echo
    .meta(at('GET', '/v1/refused'))
    .input(z.strictObject({}).optional())
    .query(({ ctx }) => {
      ctx.setHeader('x-set-before', 'kept')
      throw new AppError('rate_limited', undefined, { retryAfterSeconds: 1.2 })
    }),
  wrongOutput: publicProcedure
    .meta(at('GET', '/v1/wrong_output'))
    .input(z.strictObject({}).optional())
    .output(z.strictObject({ shown: z.string() }))
    .query(() => ({ shown: 'x', 'CANARY-column': 'y' })),
  unlisted: echo.input(Shared).query(({ input }) => input),
  session: sessionProcedure
    .meta(at('GET', '/v1/session'))
    .input(z.strictObject({}).optional())
    .output(z.void())
    .query(() => {}),
  events: publicProcedure.meta(at('GET', '/v1/events')).subscription(async function* () {
    yield 1
  }),
})

function serve(): FastifyInstance {
  const app = Fastify({
    genReqId: (request) => requestIdFrom(request.headers['x-request-id']) ?? newRequestId(),
    routerOptions: { querystringParser: () => ({}) },
    bodyLimit: 1024,
  })
  const routes = watchRoutes(app)
  addSecurityHeaders(app, SECURITY_HEADERS)
  addErrorHandlers(app)
  addBodyParsing(app, {} as Deps, { body: 1000, upload: 1000 })
  addRest(app, {} as Deps, fixture)
  addTrpc(app, {} as Deps, fixture)
  addMethodNotAllowed(app, [...routes], { preflight: false })
  return app
}

let app: FastifyInstance
beforeAll(() => {
  app = serve()
})
afterAll(() => app.close())

async function request(method: string, url: string, body?: unknown, headers = {}) {
  const answer = await app.inject({
    method: method as NonNullable<InjectOptions['method']>,
    url,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    ...(body === undefined
      ? {}
      : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const isJson = String(answer.headers['content-type']).startsWith('application/json')
  const json = isJson && answer.body !== '' ? JSON.parse(answer.body) : undefined
  return { status: answer.statusCode, headers: answer.headers, text: answer.body, json }
}
const get = (url: string, headers = {}) => request('GET', url, undefined, headers)
const code = (answer: {
  json?: { error: { code?: string; data?: { error: { code: string } } } }
}) => answer.json?.error.code ?? answer.json?.error.data?.error.code

const trpcQuery = (name: string, input: unknown) =>
  get(`/trpc/${name}?input=${encodeURIComponent(JSON.stringify(input))}`)
const trpcCode = (answer: Awaited<ReturnType<typeof get>>) => answer.json.error.data.error.code

describe('the query and path, which are text', () => {
  test('?b=false is false, ?b=true is true, anything else is refused', async () => {
    expect((await get('/v1/typed?b=false')).json).toEqual({ b: false, i: 7 })
    expect((await get('/v1/typed?b=true')).json).toEqual({ b: true, i: 7 })
    for (const text of ['', '0', '1', 'False', 'TRUE', 'no', 'null', 'true%20']) {
      expect(await get(`/v1/typed?b=${text}`), text).toMatchObject({
        status: 400,
        json: { error: { code: 'invalid_input', param: 'b' } },
      })
    }
  })

  test('numbers are read in their plain form only', async () => {
    for (const [text, n] of [
      ['5', 5],
      ['-5', -5],
      ['0', 0],
      ['1.5', 1.5],
      ['-0.25', -0.25],
    ] as const) {
      expect((await get(`/v1/typed?n=${text}`)).json, text).toEqual({ n, i: 7 })
    }
    for (const text of [
      '',
      '%205',
      '5%20',
      '%2B5',
      '05',
      '.5',
      '5.',
      '1e1',
      '0x5',
      'NaN',
      '11',
      '٥',
    ]) {
      const answer = await get(`/v1/typed?n=${encodeURI(text).replaceAll('%25', '%')}`)
      expect([answer.status, answer.json.error?.param], text).toEqual([400, 'n'])
    }
    expect((await get('/v1/typed?i=1.5')).status).toBe(400)
  })

  test('a list of one entry is a list, entries are converted, a scalar given twice is refused', async () => {
    expect((await get('/v1/typed?list=a')).json.list).toEqual(['a'])
    expect((await get('/v1/typed?list=a&list=b&list=5')).json.list).toEqual(['a', 'b', '5'])
    expect((await get('/v1/typed?numbers=1&numbers=-2.5')).json.numbers).toEqual([1, -2.5])
    expect((await get('/v1/typed?numbers=1&numbers=x')).status).toBe(400)
    for (const query of ['b=true&b=true', 'n=1&n=1', 's=a&s=a', 'i=1&i=1']) {
      expect((await get(`/v1/typed?${query}`)).status, query).toBe(400)
    }
  })

  test('text stays text, also where it looks like something else', async () => {
    for (const text of ['5', 'true', 'null', '', '{}', 'a+b', 'a b', '%']) {
      const answer = await get(`/v1/typed?s=${encodeURIComponent(text)}`)
      expect(answer.json.s, text).toBe(text)
    }
    expect((await get('/v1/typed?s=a+b')).json.s).toBe('a b')
  })

  test('path parameters are decoded, once', async () => {
    const read = async (path: string) => (await get(path)).json
    expect(await read('/v1/items/a%2Fb%20c/parts/3')).toEqual({ name: 'a/b c', part: 3 })
    expect(await read('/v1/items/%252F/parts/3')).toEqual({ name: '%2F', part: 3 })
    expect(await read('/v1/items/%F0%9F%8D%8C/parts/3')).toEqual({ name: '🍌', part: 3 })
    expect(await read('/v1/items/a+b/parts/3')).toEqual({ name: 'a+b', part: 3 })
    expect(await read('/v1/items/5/parts/3?q=x')).toEqual({ name: '5', part: 3, q: 'x' })
  })

  test('what the path says cannot be said again', async () => {
    expect(await get('/v1/items/a/parts/3?part=4')).toMatchObject({
      status: 400,
      json: { error: { param: 'part' } },
    })
    const put = await request('PUT', '/v1/items/a/parts/3', { name: 'b' })
    expect(put).toMatchObject({ status: 400, json: { error: { param: 'name' } } })
    expect((await request('PUT', '/v1/items/a/parts/3', { q: 'x' })).json).toEqual({
      name: 'a',
      part: 3,
      q: 'x',
    })
  })

  test('DELETE reads its input from the query', async () => {
    const forced = await request('DELETE', '/v1/items/a?force=true')
    expect(forced).toMatchObject({ status: 204, text: '', headers: { 'x-forced': 'true' } })
    expect((await request('DELETE', '/v1/items/a?force=maybe')).status).toBe(400)
    expect((await request('DELETE', '/v1/items/a', { force: true })).status).toBe(400)
  })
})

describe('the body, which has types', () => {
  test('is strict: no text for a number or a boolean, no scalar for a list', async () => {
    for (const body of [
      { n: '5' },
      { b: 'true' },
      { i: '7' },
      { list: 'a' },
      { n: true },
      { b: 1 },
    ]) {
      expect((await request('POST', '/v1/typed', body)).status, JSON.stringify(body)).toBe(400)
    }
    const body = { n: 5, b: false, list: ['a'], s: null, i: 1 }
    expect(await request('POST', '/v1/typed', body)).toMatchObject({ status: 201, json: body })
  })

  test('may be absent where no field is required', async () => {
    expect((await request('POST', '/v1/bodyless')).status).toBe(204)
    expect((await request('POST', '/v1/bodyless', {})).status).toBe(204)
    expect((await request('POST', '/v1/bodyless', '')).status).toBe(204)
    expect((await request('POST', '/v1/typed')).json).toEqual({ i: 7 })
    expect((await request('POST', '/v1/shared')).status).toBe(400)
  })

  test('is read under application/json with any parameter, and under nothing else', async () => {
    for (const type of [
      'application/json; charset=utf-8',
      'application/json;x=y',
      'Application/JSON',
    ]) {
      const answer = await request('POST', '/v1/shared', { n: 1 }, { 'content-type': type })
      expect(answer.json, type).toEqual({ n: 1 })
    }
    for (const type of ['text/plain', 'application/jsonp', 'application/x-www-form-urlencoded']) {
      const answer = await request('POST', '/v1/shared', { n: 1 }, { 'content-type': type })
      expect([answer.status, code(answer)], type).toEqual([415, 'unsupported_media_type'])
    }
  })

  test('has a bound', async () => {
    const answer = await request('POST', '/v1/typed', JSON.stringify({ s: 'x'.repeat(1024) }))
    expect([answer.status, code(answer)]).toEqual([413, 'payload_too_large'])
  })

  test('takes no unknown field', async () => {
    expect(await request('POST', '/v1/shared', { n: 1, m: 2 })).toMatchObject({
      status: 400,
      json: { error: { code: 'invalid_input', param: 'm' } },
    })
    expect(await get('/v1/shared?n=1&m=2')).toMatchObject({ json: { error: { param: 'm' } } })
  })
})

describe('schemas are never changed', () => {
  test('tRPC stays strict after REST read the same schema from a query', async () => {
    const tries = async () => [
      (await trpcQuery('sharedQuery', { n: '5' })).status,
      (await trpcQuery('unlisted', { n: '5' })).status,
      (await request('POST', '/trpc/sharedBody', { n: '5' })).status,
      (await request('POST', '/v1/shared', { n: '5' })).status,
      Shared.safeParse({ n: '5' }).success,
    ]
    const refused = [400, 400, 400, 400, false]
    expect(await tries()).toEqual(refused)
    for (let i = 0; i < 3; i++) expect((await get('/v1/shared?n=5')).json).toEqual({ n: 5 })
    expect((await get('/v1/typed?b=true&n=1&list=a&numbers=1')).status).toBe(200)
    expect(await tries()).toEqual(refused)
    expect((await trpcQuery('sharedQuery', { n: 5 })).json.result.data).toEqual({ n: 5 })
  })
})

describe('methods and paths', () => {
  test('HEAD is GET without its body', async () => {
    const [head, read] = [await request('HEAD', '/v1/typed?i=3'), await get('/v1/typed?i=3')]
    expect(head).toMatchObject({ status: 200, text: '' })
    expect(head.headers['content-length']).toBe(read.headers['content-length'])
    expect(head.headers['content-type']).toBe(read.headers['content-type'])
    expect(await request('HEAD', '/v1/typed?i=x')).toMatchObject({ status: 400, text: '' })
  })

  test('another method is 405 and says which are taken, HEAD among them', async () => {
    for (const [method, path, allow] of [
      ['PUT', '/v1/typed', 'GET, HEAD, POST'],
      ['DELETE', '/v1/bodyless', 'POST'],
      ['GET', '/v1/bodyless', 'POST'],
      ['HEAD', '/v1/bodyless', 'POST'],
      ['POST', '/v1/items/a/parts/3', 'GET, HEAD, PUT'],
      ['OPTIONS', '/v1/typed', 'GET, HEAD, POST'],
    ] as const) {
      const answer = await request(method, path)
      expect([answer.status, answer.headers['allow']], `${method} ${path}`).toEqual([405, allow])
      if (method !== 'HEAD') expect(code(answer)).toBe('method_not_allowed')
    }
    const typed = await request('PUT', '/v1/bodyless', 'x', { 'content-type': 'text/plain' })
    expect(typed.status).toBe(405)
  })

  test('a path is exact: its case, its dots and its slashes count', async () => {
    expect((await get('/v1/a.b')).json).toBe('dotted')
    for (const path of [
      '/v1/axb',
      '/V1/typed',
      '/v1/Typed',
      '/v1/typed/',
      '/v1//typed',
      '/v1/typed;x',
    ]) {
      expect(code(await get(path)), path).toBe('route_not_found')
    }
  })

  test('two procedures of one route stop the start', () => {
    const twice = router({
      a: echo
        .meta(at('GET', '/v1/twice'))
        .input(Shared)
        .query(() => 1),
      b: echo
        .meta(at('GET', '/v1/twice'))
        .input(Shared)
        .query(() => 2),
    })
    const other = Fastify()
    expect(() => addRest(other, {} as Deps, twice)).toThrow(/already declared/)
  })

  test('a procedure without a path is served by tRPC only', async () => {
    expect((await trpcQuery('unlisted', { n: 1 })).json.result.data).toEqual({ n: 1 })
    expect((await get('/v1/unlisted')).status).toBe(404)
  })

  test('a subscription has no REST route and does not stop the start', async () => {
    expect(code(await get('/v1/events'))).toBe('route_not_found')
  })

  test('each procedure has its own status, and 204 has no body', async () => {
    expect((await request('POST', '/v1/typed', {})).status).toBe(201)
    const empty = await request('POST', '/v1/bodyless')
    expect(empty).toMatchObject({ status: 204, text: '' })
    expect(empty.headers['content-type']).toBeUndefined()
  })
})

describe('errors', () => {
  const shape = {
    type: expect.any(String),
    code: expect.any(String),
    message: expect.any(String),
    request_id: expect.any(String),
  }

  test('all have the one shape, whoever noticed them', async () => {
    const answers = [
      await request('POST', '/v1/shared', '{'),
      await request('POST', '/v1/shared', 'x', { 'content-type': 'text/plain' }),
      await request('POST', '/v1/shared', JSON.stringify({ s: 'x'.repeat(2000) })),
      await request('POST', '/v1/shared', { n: 'x' }),
      await request('PUT', '/v1/shared', { n: 'x' }),
      await get('/v1/nowhere'),
      await get('/v1/thrown'),
      await get('/v1/refused'),
      await get('/v1/session'),
    ]
    for (const answer of answers) {
      expect(Object.keys(answer.json)).toEqual(['error'])
      expect(Object.keys(answer.json.error).toSorted()).toEqual([
        'code',
        'message',
        'param',
        'request_id',
        'type',
      ])
      expect(answer.json.error).toMatchObject(shape)
      expect(answer.headers['x-request-id']).toBe(answer.json.error.request_id)
      expect(answer.headers['x-should-retry']).toMatch(/^(?:true|false)$/)
    }
    expect(answers.map((answer) => answer.status)).toEqual([
      400, 415, 413, 400, 405, 404, 500, 429, 401,
    ])
  })

  test('tRPC carries the same object in its envelope, with the same headers', async () => {
    for (const [name, path] of [
      ['refused', '/v1/refused'],
      ['thrown', '/v1/thrown'],
      ['session', '/v1/session'],
    ] as const) {
      const headers = { 'x-request-id': 'same' }
      const [rest, trpc] = [await get(path, headers), await get(`/trpc/${name}`, headers)]
      expect(trpc.json.error.data.error).toEqual(rest.json.error)
      expect(trpc.json.error.data.httpStatus).toBe(rest.status)
      expect(trpc.status).toBe(rest.status)
      for (const header of ['x-should-retry', 'retry-after', 'x-set-before', 'www-authenticate']) {
        expect(trpc.headers[header], header).toBe(rest.headers[header])
      }
    }
    expect((await get('/v1/refused')).headers).toMatchObject({
      'retry-after': '2',
      'x-set-before': 'kept',
    })
  })

  test('what tRPC refuses before it knows the procedure has the shape too', async () => {
    const answers = [
      await request('POST', '/trpc/sharedBody'),
      await request('POST', '/trpc/sharedBody', '{', { accept: 'application/jsonl' }),
      await request('POST', '/trpc/sharedBody', { n: 1 }, { 'trpc-accept': 'application/jsonl' }),
      await request('POST', '/trpc/sharedBody?batch=1', '5'),
      await get('/trpc/sharedQuery,sharedBody?batch=1'),
      await get('/trpc/nothing'),
      await get('/trpc/nothing/there'),
      await request('POST', '/trpc/sharedQuery', { n: 1 }),
      await get('/trpc/sharedBody'),
      await request('PUT', '/trpc/sharedBody', { n: 1 }),
      await get('/trpc/%25zz'),
      await get('/trpc/sharedQuery', { host: 'user:word@[' }),
    ]
    for (const { json, headers } of answers) {
      const error = Array.isArray(json) ? json[0].error.data.error : json.error.data.error
      expect(error).toMatchObject(shape)
      expect(headers['x-request-id']).toBe(error.request_id)
    }
    expect(answers.map((answer) => answer.status)).toEqual([
      415, 400, 400, 400, 400, 404, 404, 405, 405, 405, 400, 400,
    ])
    expect(answers[7]?.headers['allow']).toBe('GET')
    expect(answers[8]?.headers['allow']).toBe('POST')
  })

  test('the host a client claims plays no part', async () => {
    for (const host of ['[', 'user:word@x', 'a b', '', 'x:99999999']) {
      const answer = await get('/trpc/sharedQuery?input=%7B%22n%22%3A1%7D', { host })
      expect([answer.status, answer.json.result?.data], host).toEqual([200, { n: 1 }])
    }
  })

  test.each(['production', 'development', undefined])(
    'none carries a stack or a cause with NODE_ENV %s',
    async (environment) => {
      vi.stubEnv('NODE_ENV', environment)
      const other = serve()
      for (const name of ['thrown', 'wrongOutput', 'refused', 'typed']) {
        const path = name === 'wrongOutput' ? '/v1/wrong_output' : `/v1/${name}`
        for (const url of [
          `${path}?b=x`,
          `/trpc/${name}?input=%7B%22b%22%3A1%7D`,
          `/trpc/${name}?input=x`,
          path,
          `/trpc/${name}`,
        ]) {
          const { body } = await other.inject({ url })
          expect(body, url).not.toMatch(/CANARY|\bat .*:\d+:\d+|stack|node_modules|\.ts\b/)
        }
      }
      await other.close()
      vi.unstubAllEnvs()
    },
  )

  test('an answer that is not as declared is a fault of ours, not shown', async () => {
    expect(await get('/v1/wrong_output')).toMatchObject({
      status: 500,
      json: { error: { code: 'internal', message: 'Something failed on our side.', param: null } },
    })
    expect(trpcCode(await get('/trpc/wrongOutput'))).toBe('internal')
  })
})
