import type { Person } from './accounts.ts'

/** What came of a request. */
export interface Answer {
  /** 0: the connection broke before there was one. */
  readonly status: number
  readonly headers: Headers
  // A client reads what it expects; what is absent shows as a fault.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
  /** Its process went away: the connection broke, or the balancer says so in its place. */
  readonly isCut: boolean
  readonly ms: number
}

export interface Wish {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** One request, which is never repeated. */
export async function ask(person: Person, path: string, wish: Wish = {}): Promise<Answer> {
  const began = performance.now()
  const broken = (status: number, headers = new Headers()): Answer => ({
    status,
    headers,
    json: undefined,
    isCut: true,
    ms: performance.now() - began,
  })
  const response = await open(person, path, wish)
  if (response === undefined) return broken(0)
  const { status, headers } = response
  const text = await response.text().catch(() => undefined)
  if (text === undefined || !isOurs(response)) return broken(status, headers)
  const json = text === '' ? undefined : JSON.parse(text)
  return { status, headers, json, isCut: false, ms: performance.now() - began }
}

/** Undefined where the connection broke before the headers. */
export const open = (
  { url, key }: Person,
  path: string,
  { method = 'GET', headers = {}, body }: Wish,
): Promise<Response | undefined> =>
  fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(() => undefined)

/** Each answer of the service has an id; the balancer's own have none. */
export const isOurs = ({ headers }: Response): boolean => headers.has('x-request-id')
