import { createSharpCodec } from '../src/adapters/image-codec/sharp.ts'
import { createSandboxProvider } from '../src/adapters/image-provider/sandbox.ts'
import type { Input } from './calls.ts'
import { type Account, createTestApp, type TestApp, type TestAppOptions } from './harness.ts'

/** Limits that no test file but the one about them should meet. */
const UNLIMITED = {
  RATE_LIMIT_RPM: '1000000',
  RATE_LIMIT_CONCURRENCY: '10000',
  RATE_LIMIT_IP_RPM: '1000000',
  RATE_LIMIT_ACCOUNT_RPM: '1000000',
}

/** Webhooks of tests listen on loopback. */
const LOOPBACK = { WEBHOOK_ALLOW_PRIVATE: 'true' }

/** The quickest picture the sandbox makes. */
export const SMALL = { model: 'nano-banana-2', size: '512' }

/** An app whose live provider is the sandbox too, so that sessions can generate. */
export const createWorld = (options: TestAppOptions = {}): Promise<TestApp> =>
  createTestApp({
    ...options,
    env: { ...UNLIMITED, ...LOOPBACK, ...options.env },
    providers: {
      live: createSandboxProvider({ codec: createSharpCodec() }),
      ...options.providers,
    },
  })

/** Makes a generation and answers it. */
export async function generate(app: TestApp, token: string, input: Input = {}) {
  const body = { prompt: 'a banana', ...SMALL, ...input }
  const made = await app.request('POST', '/v1/generate', { token, body })
  if (made.status !== 200) throw new Error(`no generation: ${made.text}`)
  return made.json
}

/** An id of the right form that nobody has. */
export const missingId = (prefix: string) => `${prefix}_01jd5xk3f8e2r9v7m6q4t0w1yz`

let strangers = 0

type Form = (account: Pick<Account, 'email' | 'password'>) => Input

/** Well-formed input of each procedure; an id in it is nobody's. */
const FORMS: Readonly<Record<string, Form>> = {
  'auth.register': () => ({
    email: `stranger${++strangers}@example.org`,
    password: 'correct horse battery',
    name: 'A Stranger',
  }),
  'auth.login': ({ email, password }) => ({ email, password }),
  'auth.logout': () => ({}),
  'auth.logout_all': () => ({}),
  'auth.me': () => ({}),
  'auth.password': ({ password }) => ({
    current_password: password,
    new_password: 'staple battery correct',
  }),
  'auth.delete_account': ({ password }) => ({ password }),
  'keys.create': () => ({ name: 'sample', mode: 'test', scopes: ['read'] }),
  'keys.list': () => ({ limit: 2 }),
  'keys.get': () => ({ id: missingId('key') }),
  'keys.update': () => ({ id: missingId('key'), name: 'renamed' }),
  'keys.revoke': () => ({ id: missingId('key') }),
  'keys.rotate': () => ({ id: missingId('key'), grace_seconds: 0 }),
  generate: () => ({ prompt: 'a banana', ...SMALL }),
  'generations.list': () => ({ limit: 2 }),
  'generations.get': () => ({ id: missingId('gen') }),
  'generations.cancel': () => ({ id: missingId('gen') }),
  'generations.delete': () => ({ id: missingId('gen') }),
  'webhooks.create': () => ({ url: 'http://127.0.0.1:9/', events: ['generation.succeeded'] }),
  'webhooks.list': () => ({ limit: 2 }),
  'webhooks.get': () => ({ id: missingId('wh') }),
  'webhooks.update': () => ({ id: missingId('wh'), description: 'renamed' }),
  'webhooks.delete': () => ({ id: missingId('wh') }),
  'webhooks.rotate_secret': () => ({ id: missingId('wh'), grace_seconds: 0 }),
  'webhooks.test': () => ({ id: missingId('wh') }),
  'webhooks.deliveries': () => ({ id: missingId('wh'), limit: 2 }),
  'webhooks.redeliver': () => ({ id: missingId('wh'), delivery_id: missingId('dlv') }),
  'models.list': () => ({}),
  'usage.get': () => ({ group_by: 'model' }),
}

const NOBODY = { email: 'nobody@example.org', password: 'correct horse battery' }

/** Well-formed input of a procedure, or an error that says where to add one. */
export function formOf(name: string, account: Parameters<Form>[0] = NOBODY): Input {
  const form = FORMS[name]
  if (form === undefined) throw new Error(`test/world.ts has no input for ${name}`)
  return form(account)
}

/** Makes an object for the account and answers its id. */
const MAKERS: Readonly<Record<string, (app: TestApp, account: Account) => Promise<string>>> = {
  key: async (app, account) => (await app.createKey(account)).id,
  gen: async (app, account) => (await generate(app, account.token, { mode: 'test' })).id,
  wh: async (app, { token }) => {
    const body = formOf('webhooks.create')
    return (await app.request('POST', '/v1/webhooks', { token, body })).json.id
  },
}

/** Makes an event for an endpoint and answers the id of its delivery. */
async function makeDelivery(app: TestApp, { token }: Account, webhookId: string): Promise<string> {
  await generate(app, token, { mode: 'test' })
  const path = `/v1/webhooks/${webhookId}/deliveries`
  return (await app.request('GET', path, { token })).json.data[0].id
}

/** What must be in a state of its own for a procedure to accept it. */
const MAKERS_OF: typeof MAKERS = {
  /** Where no worker takes it. */
  'generations.cancel': async (app, { token }) => {
    const headers = { prefer: 'respond-async' }
    const body = { prompt: 'a banana', mode: 'test', ...SMALL }
    return (await app.request('POST', '/v1/generate', { token, headers, body })).json.id
  },
}

/** Input that a procedure accepts from the account; the object it names is the account's own. */
export async function sampleOf(name: string, app: TestApp, account: Account): Promise<Input> {
  const form = formOf(name, account)
  const { id } = form
  if (typeof id !== 'string') return form
  const make = MAKERS_OF[name] ?? MAKERS[id.slice(0, id.indexOf('_'))]
  if (make === undefined) throw new Error(`test/world.ts cannot make an object for ${name}`)
  const own = { ...form, id: await make(app, account) }
  if (form['delivery_id'] === undefined) return own
  return { ...own, delivery_id: await makeDelivery(app, account, own.id) }
}
