import { AppError } from '../kernel/app-error.ts'

const MAX_PAIRS = 50
const POLLUTING = new Set(['__proto__', 'constructor', 'prototype'])

export type Query = Record<string, string | string[]>

/** Parses a query string strictly: what cannot be decoded is refused, not guessed. */
export function parseQuery(text: string): Query {
  const query: Query = {}
  if (text === '') return query
  const pairs = text.split('&')
  if (pairs.length > MAX_PAIRS) {
    throw new AppError('invalid_input', `The query has more than ${MAX_PAIRS} parameters.`)
  }
  for (const pair of pairs) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    const name = decode(at < 0 ? pair : pair.slice(0, at))
    const value = decode(at < 0 ? '' : pair.slice(at + 1))
    if (isPolluting(name)) throw unknownField(name)
    append(query, name, value)
  }
  return query
}

/**
 * The named parameters of a query that takes these and no others. Given twice, one is refused like
 * an unknown one: which of the two was meant cannot be known.
 */
export function takeParameters<N extends string>(
  query: Query,
  ...names: readonly N[]
): Partial<Record<N, string>> {
  for (const [name, value] of Object.entries(query)) {
    if (!(names as readonly string[]).includes(name)) throw unknownField(name)
    if (typeof value !== 'string') {
      throw new AppError('invalid_input', `${name}: must be given once.`, { param: name })
    }
  }
  return query as Partial<Record<N, string>>
}

/** Whether a field of this name would change a prototype somewhere. */
export const isPolluting = (name: string): boolean => POLLUTING.has(name)

export const unknownField = (name: string): AppError =>
  new AppError('invalid_input', `${name} is not a field of this request.`, { param: name })

/** Adds a value; a name that was there before has a list then. */
export function append(query: Query, name: string, value: string): void {
  const before = Object.hasOwn(query, name) ? query[name] : undefined
  if (before === undefined) query[name] = value
  else if (Array.isArray(before)) before.push(value)
  else query[name] = [before, value]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new AppError('invalid_input', 'The query string is not valid percent-encoding.')
  }
}

/** The query string of a request target, without its question mark. */
export function queryOf(url: string): string {
  const at = url.indexOf('?')
  return at < 0 ? '' : url.slice(at + 1)
}
