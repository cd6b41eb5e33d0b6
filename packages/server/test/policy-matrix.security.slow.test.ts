import Fastify from 'fastify'
import { initTRPC } from '@trpc/server'
import type { ErrorCode, Scope } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { shapeOf } from '../src/http/coerce.ts'
import { fastifyPath } from '../src/http/rest.ts'
import { type RoutePolicy, watchRoutes } from '../src/http/methods.ts'
import { listProcedures, type ProcedureFacts } from '../src/http/procedures.ts'
import { appRouter } from '../src/router.ts'
import { anonymous, codeIn, errorIn } from './answers.ts'
import { callOf, FACES, type Face, freshIp, type Input, send } from './calls.ts'
import { bodyOf } from './form-body.ts'
import type { Account, TestApp } from './harness.ts'
import { noise } from './pictures.ts'
import { createWorld, generate, missingId, sampleOf, SMALL } from './world.ts'

const PROCEDURES = listProcedures(appRouter)
const SCOPES: readonly Scope[] = ['generate', 'read', 'usage']

/** What a caller may show for itself. */
const CREDENTIALS = [
  'none',
  'garbage',
  'a token of another secret',
  'a malformed key',
  'an unknown key',
  'a revoked key',
  'a disabled key',
  'a key without the scope',
  'a key with all scopes',
  'a session',
] as const
type Credential = (typeof CREDENTIALS)[number]

/** What the declared policy says; undefined: let in. */
function verdictOf(policy: RoutePolicy, credential: Credential): ErrorCode | undefined {
  if (policy.kind === 'public') return undefined
  if (policy.kind === 'signed-url') return 'not_found'
  switch (credential) {
    case 'none':
    case 'garbage':
    case 'a token of another secret':
      return 'invalid_token'
    case 'a malformed key':
    case 'an unknown key':
    case 'a revoked key':
    case 'a disabled key':
      return 'invalid_api_key'
    case 'a key without the scope':
      return policy.kind === 'session' ? 'session_required' : 'insufficient_scope'
    case 'a key with all scopes':
      return policy.kind === 'session' ? 'session_required' : undefined
    case 'a session':
      return policy.kind === 'key' ? 'key_required' : undefined
  }
}

/** Who must have a scope may lack it. */
const scopeOf = (policy: RoutePolicy): Scope => ('scope' in policy ? policy.scope : 'usage')

/** What the plain routes take that read a body. */
const BODIES: Readonly<
  Record<string, () => Promise<{ body: unknown; headers?: Record<string, string> }>>
> = {
  '/v1/images/generations': async () => ({ body: { prompt: 'a banana', ...OPENAI_SMALL } }),
  '/v1/images/edits': async () => {
    const form = new FormData()
    const png = await noise(64, 64).png().toBuffer()
    form.append('image', new Blob([new Uint8Array(png)], { type: 'image/png' }), 'picture.png')
    for (const [name, value] of Object.entries({ prompt: 'a hat', ...OPENAI_SMALL }))
      form.append(name, value)
    return bodyOf(form)
  },
}
const OPENAI_SMALL = { model: SMALL.model, size: '512x512' }

let app: TestApp
let alice: Account
let bob: Account
let revokedKey: string
let disabledKey: string
let fullKey: string
const keysWithout = new Map<Scope, string>()

beforeAll(async () => {
  // What is to be canceled waits for ever.
  app = await createWorld({ env: { WORKERS: '0' } })
  alice = await app.register()
  bob = await app.register()
  fullKey = (await app.createKey(alice)).key
  for (const scope of SCOPES) {
    const others = SCOPES.filter((one) => one !== scope)
    keysWithout.set(scope, (await app.createKey(alice, { scopes: others })).key)
  }
  const revoked = await app.createKey(alice)
  await app.request('DELETE', `/v1/keys/${revoked.id}`, { token: alice.token })
  revokedKey = revoked.key
  const disabled = await app.createKey(alice)
  const body = { disabled: true }
  await app.request('PATCH', `/v1/keys/${disabled.id}`, { token: alice.token, body })
  disabledKey = disabled.key
})
afterAll(() => app[Symbol.asyncDispose]())

const OTHER_SECRET_TOKEN = [
  { alg: 'HS256', typ: 'JWT', kid: '00000000' },
  { sub: 'user_01jd5xk3f8e2r9v7m6q4t0w1yz', jti: 'x', iss: 'nanobanana', aud: 'nanobanana' },
]
  .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  .join('.')
  .concat('.', 'A'.repeat(43))

function tokenOf(
  credential: Credential,
  policy: RoutePolicy,
  session: Account,
): string | undefined {
  const tokens: Record<Credential, string | undefined> = {
    none: undefined,
    garbage: 'garbage',
    'a token of another secret': OTHER_SECRET_TOKEN,
    'a malformed key': 'nb_live_short',
    'an unknown key': `nb_live_${'x'.repeat(32)}`,
    'a revoked key': revokedKey,
    'a disabled key': disabledKey,
    'a key without the scope': keysWithout.get(scopeOf(policy)),
    'a key with all scopes': fullKey,
    'a session': session.token,
  }
  return tokens[credential]
}

const authorised = (token: string | undefined) => ({
  ip: freshIp(),
  ...(token === undefined ? {} : { token }),
})

/** The prefix of the id a procedure takes, if it takes one. */
function idPrefixOf({ input }: ProcedureFacts): string | undefined {
  const [example] = (shapeOf(input)['id']?.meta()?.['examples'] ?? []) as string[]
  return example?.split('_', 1)[0]
}

/** Enough to reach the procedure, whose policy is asked before its input is looked at. */
function anyInputOf(procedure: ProcedureFacts): Input {
  const prefix = idPrefixOf(procedure)
  const ids = prefix === undefined ? {} : { id: missingId(prefix) }
  const { delivery_id: second } = shapeOf(procedure.input)
  return second === undefined ? ids : { ...ids, delivery_id: missingId('dlv') }
}

/** Over REST first: what the bridge does must not change what tRPC answers after it. */
describe.each(FACES)('JWT-8, AUTHZ-5: over %s every procedure does as its policy says', (face) => {
  const rows = PROCEDURES.flatMap((procedure) =>
    CREDENTIALS.map((credential) => ({ procedure, credential, name: procedure.name })),
  )
  test.each(rows)('$name with $credential', async ({ procedure, credential, name }) => {
    const verdict = verdictOf(procedure.policy, credential)
    // A session that is let in may end itself or its account.
    const ends = verdict === undefined && procedure.type === 'mutation' && name !== 'generate'
    const account = ends && credential === 'a session' ? await app.register() : alice
    const input = verdict === undefined ? await sampleOf(name, app, account) : anyInputOf(procedure)
    const options = authorised(tokenOf(credential, procedure.policy, account))
    const answer = await send(app, callOf(face, procedure, input), options)
    if (verdict !== undefined) expect(codeIn(answer, face)).toBe(verdict)
    else {
      expect(answer.text).not.toContain('"error":{')
      expect(answer.status).toBe(face === 'rest' ? procedure.rest?.status : 200)
    }
  })
})

test('JWT-8: every other route does as its policy says', async () => {
  const served = new Set(PROCEDURES.map(({ rest }) => rest && fastifyPath(rest.path)))
  const plain = app.service.http.routes.filter(
    ({ url, policy }) => !served.has(url) && policy.kind !== 'per-procedure',
  )
  expect(plain.map(({ method, url }) => `${method} ${url}`)).toEqual(
    expect.arrayContaining([
      'GET /v1/images/:id/content',
      'POST /v1/images/generations',
      'POST /v1/images/edits',
      'GET /files/*',
      'GET /healthz',
    ]),
  )
  const made = await generate(app, alice.token, { mode: 'test' })
  const file = new URL(made.url).pathname
  for (const { method, url, policy } of plain) {
    const path = url.replace(':id', made.images[0].id).replace('/files/*', file)
    for (const credential of CREDENTIALS) {
      const verdict = verdictOf(policy, credential)
      const answer = await app.request(method, path, {
        ...authorised(tokenOf(credential, policy, alice)),
        ...(await BODIES[url]?.()),
      })
      const what = `${method} ${url} with ${credential}`
      if (verdict === undefined) expect(answer.status, what).toBeLessThan(400)
      else if (method === 'HEAD') expect(answer.text, what).toBe('')
      else expect(codeIn(answer), what).toBe(verdict)
    }
  }
})

test('every route of the server names its policy', () => {
  const { routes } = app.service.http
  expect(routes.length).toBeGreaterThan(PROCEDURES.length)
  for (const { policy } of routes) {
    expect(['public', 'session', 'scope', 'key', 'signed-url', 'per-procedure']).toContain(
      policy.kind,
    )
  }
})

describe('JWT-8: what declares no policy does not start', () => {
  const t = initTRPC.create()
  const bare = t.procedure.input(z.strictObject({})).output(z.void())

  test('a procedure', () => {
    const router = t.router({ open: bare.query(() => {}) })
    expect(() => listProcedures(router)).toThrow('open does not declare who may call it')
  })

  test('a procedure in a nested router', () => {
    const router = t.router({ deep: t.router({ open: bare.mutation(() => {}) }) })
    expect(() => listProcedures(router)).toThrow('deep.open')
  })

  test('a subscription', () => {
    const events = t.procedure.subscription(async function* () {
      yield 1
    })
    expect(() => listProcedures(t.router({ events }))).toThrow('events')
  })

  test('a plain route', () => {
    const fastify = Fastify()
    watchRoutes(fastify)
    expect(() => fastify.get('/open', async () => 'x')).toThrow('GET /open declares no policy')
    expect(() => fastify.options('/open', async () => 'x')).toThrow('OPTIONS /open')
  })
})

const WITH_ID = PROCEDURES.filter((procedure) => idPrefixOf(procedure) !== undefined)

describe('AUTHZ-1: an object of another account looks like one that does not exist', () => {
  let keyOfBob: { id: string; key: string }
  let madeByBob: { id: string; url: string; images: { id: string }[] }
  let webhookOfBob: string
  const ofBob = (prefix: string | undefined) =>
    ({ key: keyOfBob.id, gen: madeByBob.id, wh: webhookOfBob })[String(prefix)]

  beforeAll(async () => {
    keyOfBob = await app.createKey(bob)
    webhookOfBob = String((await sampleOf('webhooks.get', app, bob))['id'])
    madeByBob = await generate(app, bob.token, { mode: 'test' })
  })

  const rows = FACES.flatMap((face) =>
    WITH_ID.flatMap((procedure) =>
      (['a session', 'a key with all scopes'] as const)
        .filter((credential) => verdictOf(procedure.policy, credential) === undefined)
        .map((credential) => ({ face, procedure, credential, name: procedure.name })),
    ),
  )
  test.each(rows)('$name over $face with $credential', async ({ face, procedure, credential }) => {
    const sample = await sampleOf(procedure.name, app, bob)
    const prefix = idPrefixOf(procedure)
    const token = tokenOf(credential, procedure.policy, alice)
    const [foreign, missing] = await Promise.all(
      [ofBob(prefix), missingId(String(prefix))].map((id) =>
        send(app, callOf(face, procedure, { ...sample, id }), authorised(token)),
      ),
    )
    expect(codeIn(foreign!, face)).toBe('not_found')
    expect(anonymous(foreign!)).toEqual(anonymous(missing!))
  })

  test('the bytes of an image', async () => {
    const [image] = madeByBob.images
    for (const token of [alice.token, fullKey]) {
      for (const query of ['', '?width=64']) {
        const [foreign, missing] = await Promise.all(
          [image!.id, missingId('img')].map((id) =>
            app.request('GET', `/v1/images/${id}/content${query}`, { token }),
          ),
        )
        expect(codeIn(foreign!)).toBe('not_found')
        expect(anonymous(foreign!)).toEqual(anonymous(missing!))
      }
    }
  })

  test('a filter by a key of another account finds nothing', async () => {
    const { key: keyOfAlice } = await app.createKey(alice)
    await generate(app, keyOfBob.key)
    const path = `/v1/generations?mode=test&key_id=${keyOfBob.id}`
    const found = await app.request('GET', path, { token: alice.token })
    expect(found.json).toEqual({ data: [], next_cursor: null })
    const own = await app.request('GET', path.replace('mode=test&', ''), { token: keyOfAlice })
    expect(own.json.data).toEqual([])
    expect((await app.request('GET', path, { token: bob.token })).json.data).toHaveLength(1)
  })

  test('a key does not read what was made in the other mode', async () => {
    const live = await generate(app, alice.token, { mode: 'live' })
    const paths = [`/v1/generations/${live.id}`, `/v1/images/${live.images[0].id}/content`]
    for (const path of paths) {
      expect(codeIn(await app.request('GET', path, { token: fullKey }))).toBe('not_found')
      expect((await app.request('GET', path, { token: alice.token })).status).toBe(200)
    }
  })

  test('nothing of it was changed', async () => {
    const { token } = bob
    const key = await app.request('GET', `/v1/keys/${keyOfBob.id}`, { token })
    expect(key.json).toMatchObject({ name: 'a key', status: 'active' })
    expect((await app.request('GET', '/v1/models', { token: keyOfBob.key })).status).toBe(200)
    const made = await app.request('GET', `/v1/generations/${madeByBob.id}`, { token })
    expect(made.json.status).toBe('succeeded')
    const webhook = await app.request('GET', `/v1/webhooks/${webhookOfBob}`, { token })
    expect(webhook.json).toMatchObject({ disabled: false, description: null })
  })
})

describe('AUTHZ-2: a cursor is no way into another account', () => {
  test.each([
    { path: '/v1/keys', mode: '' },
    { path: '/v1/generations', mode: '&mode=test' },
    { path: '/v1/webhooks', mode: '' },
  ])('$path', async ({ path, mode }) => {
    const [carol, dave] = [await app.register(), await app.register()]
    for (const who of [carol, dave, carol, dave]) {
      await app.createKey(who)
      await sampleOf('webhooks.get', app, who)
      if (path === '/v1/generations') await generate(app, who.token, { mode: 'test' })
    }
    const idsOf = async (who: Account, cursor = '') => {
      const { json } = await app.request('GET', `${path}?limit=1${mode}${cursor}`, who)
      return { ids: json.data.map((one: { id: string }) => one.id), next: json.next_cursor }
    }
    const first = await idsOf(dave)
    expect(first.next).toMatch(/^(?:key|gen|wh)_/)
    const own = await app.request('GET', `${path}?limit=100${mode}`, carol)
    const mine = own.json.data.map((one: { id: string }) => one.id)
    const { ids } = await idsOf(carol, `&cursor=${first.next}`)
    expect(mine).toEqual(expect.arrayContaining(ids))
  })
})

const FORBIDDEN_FIELDS = [
  'userId',
  'user_id',
  'role',
  'id',
  'key',
  'createdAt',
  'created_at',
  'cost',
  'cost_micros',
  'status',
  'scopes',
  'mode',
  'token_version',
  'object_key',
]

describe('AUTHZ-3: no field of a row can be set from outside', () => {
  const tables = ['users', 'api_keys', 'generations', 'images', 'usage'] as const
  const snapshot = () =>
    Promise.all(
      tables.map((table) =>
        app.database.handle.db.selectFrom(table).selectAll().orderBy('id').execute(),
      ),
    )

  const rows = FACES.flatMap((face) =>
    PROCEDURES.map((procedure) => ({ face, procedure, name: procedure.name })),
  )
  test.each(rows)('$name over $face', async ({ face, procedure, name }) => {
    const account = await app.register()
    const sample = await sampleOf(name, app, account)
    const known = Object.keys(shapeOf(procedure.input))
    const before = await snapshot()
    for (const field of FORBIDDEN_FIELDS.filter((one) => !known.includes(one))) {
      const call = callOf(face, procedure, { ...sample, [field]: 'x' })
      const answer = await send(app, call, authorised(account.token))
      expect(errorIn(answer, face)).toMatchObject({ code: 'invalid_input', param: field })
    }
    expect(await snapshot()).toEqual(before)
  })
})

describe('AUTHZ-5: one verdict on every face', () => {
  /** Values that only the strings of a query or path may stand for. */
  const numbersAsText = [
    { name: 'keys.list', face: 'trpc', input: { limit: '5' } },
    { name: 'generations.list', face: 'trpc', input: { limit: '5' } },
    { name: 'keys.create', face: 'rest', input: { name: 'x', monthly_limit_usd: '5' } },
    { name: 'keys.create', face: 'trpc', input: { name: 'x', monthly_limit_usd: '5' } },
    { name: 'keys.create', face: 'trpc', input: { name: 'x', scopes: 'read' } },
  ] as const satisfies { name: string; face: Face; input: Input }[]

  test.each(numbersAsText)(
    '$name over $face takes no text for $input, also after REST calls',
    async (row) => {
      const procedure = PROCEDURES.find((one) => one.name === row.name)!
      await app.request('GET', '/v1/keys?limit=5', { token: alice.token })
      await app.request('GET', '/v1/generations?limit=5', { token: alice.token })
      const answer = await send(
        app,
        callOf(row.face, procedure, row.input),
        authorised(alice.token),
      )
      expect(codeIn(answer, row.face)).toBe('invalid_input')
    },
  )

  const batch = (names: readonly string[], token?: string) =>
    app.request(
      'GET',
      `/trpc/${names.join(',')}?batch=1&input=${encodeURIComponent('{}')}`,
      authorised(token),
    )

  test('a batch of 10 calls is answered, each call by its own policy', async () => {
    const ten = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? 'models.list' : 'keys.list'))
    const answer = await batch(ten, fullKey)
    expect(answer.json).toHaveLength(10)
    for (const [i, one] of answer.json.entries()) {
      if (i % 2 === 0) expect(one.result.data.object).toBe('list')
      else expect(one.error.data.error.code).toBe('session_required')
    }
    const refused = await batch(ten)
    for (const one of refused.json) expect(one.error.data.error.code).toBe('invalid_token')
  })

  test('a batch of 11 calls is refused', async () => {
    const answer = await batch(
      Array.from({ length: 11 }, () => 'models.list'),
      fullKey,
    )
    expect(codeIn(answer, 'trpc')).toBe('invalid_input')
  })
})
