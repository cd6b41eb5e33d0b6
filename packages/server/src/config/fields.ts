import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { holdsPlaceholder, weaknessOf } from './weak-secret.ts'

/** Parsers of single values. Their messages never repeat the value: it may be a secret. */

class Fault extends Error {}

function refuse(message: string): never {
  throw new Fault(message)
}

/** A zod string that `parse` turns into its value; `parse` calls `refuse` on a bad one. */
function field<T>(parse: (text: string) => T) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text.trim())
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })
}

const hasSpaceOrControl = (text: string) => /[\s\p{Cc}\p{Cf}]/u.test(text)

export const word = (options: { max?: number; pattern?: RegExp; hint?: string } = {}) =>
  field((text) => {
    if (hasSpaceOrControl(text)) refuse('must not hold spaces or control characters')
    if (text.length > (options.max ?? 1024))
      refuse(`must have ${options.max ?? 1024} characters at most`)
    if (options.pattern?.test(text) === false) refuse(options.hint ?? 'is not valid')
    return text
  })

export const path = () =>
  field((text) => (/\p{Cc}/u.test(text) ? refuse('must not hold control characters') : text))

export const oneOf = <const T extends string>(values: readonly T[]) =>
  field((text) => values.find((value) => value === text) ?? refuse(`must be ${listOf(values)}`))

const listOf = (values: readonly string[]) =>
  values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`

export const flag = () =>
  oneOf(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1')

export const integer = (min: number, max: number) =>
  field((text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max
      ? value
      : refuse(`must be a whole number from ${min} to ${max}`)
  })

const SECONDS = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 } as const

/** Seconds: `90`, `90s`, `5m`, `24h`, `7d`. */
export const seconds = (min: number, max: number) =>
  field((text) => {
    const [, digits, unit] = /^(\d{1,10})(s|m|h|d|)$/.exec(text) ?? []
    const value =
      digits === undefined ? Number.NaN : Number(digits) * SECONDS[unit as keyof typeof SECONDS]
    return value >= min && value <= max
      ? value
      : refuse(`must be ${min} to ${max} seconds, written like 90, 90s, 5m or 24h`)
  })

export const milliseconds = (minSeconds: number, maxSeconds: number) =>
  seconds(minSeconds, maxSeconds).transform((value) => value * 1000)

const BYTES = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
} as const

/** Bytes: `33554432`, `32MiB`, `75MB`, `5GiB`. */
export const bytes = (min: number, max: number) =>
  field((text) => {
    const [, digits, unit] = /^(\d{1,12}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB|)$/.exec(text) ?? []
    const value =
      digits === undefined ? Number.NaN : Number(digits) * BYTES[unit as keyof typeof BYTES]
    return value >= min && value <= max
      ? value
      : refuse(`must be ${min} to ${max} bytes, written like 33554432, 32MiB or 75MB`)
  })

/** US dollars, as integer micro-dollars. */
export const usdMicros = (maxUsd: number) =>
  field((text) => {
    const [, whole, fraction = ''] = /^(\d{1,9})(?:\.(\d{1,6}))?$/.exec(text) ?? []
    const micros = whole === undefined ? Number.NaN : Number(whole + fraction.padEnd(6, '0'))
    return micros <= maxUsd * 1e6
      ? micros
      : refuse(`must be US dollars from 0 to ${maxUsd}, with at most 6 decimals`)
  })

const split = (text: string) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

const isModelName = (text: string) => text.length <= 100 && /^[\w./:-]+$/.test(text)

/** A comma list of names with what each stands for: `name=other`. */
export const nameMap = () =>
  field((text) => {
    const pairs = split(text).map((pair) => pair.split('=').map((part) => part.trim()))
    if (pairs.length === 0 || pairs.some((pair) => pair.length !== 2 || !pair.every(isModelName)))
      refuse('must be a comma list of pairs like gpt-image-1=default')
    const map = Object.fromEntries(pairs) as Readonly<Record<string, string>>
    if (Object.keys(map).length < pairs.length) refuse('holds a name twice')
    return map
  })

/** A comma list of secrets, newest first. */
export const secretList = () =>
  field((text) => {
    const secrets = split(text)
    if (secrets.length === 0) refuse('holds no secret')
    for (const [index, secret] of secrets.entries()) {
      const weakness = weaknessOf(secret)
      const which = secrets.length > 1 ? `its secret no. ${index + 1} ` : ''
      if (weakness !== undefined) refuse(`${which}${weakness}; make one with: openssl rand -hex 32`)
    }
    if (new Set(secrets).size < secrets.length) refuse('holds the same secret twice')
    return secrets
  })

/** A credential of another service: one word, not the sample. */
export const credential = (min: number, max = 1024) =>
  field((text) => {
    if (hasSpaceOrControl(text)) refuse('must not hold spaces or control characters')
    if (holdsPlaceholder(text)) refuse('is a known placeholder')
    if (text.length < min) refuse(`is shorter than ${min} characters`)
    if (text.length > max) refuse(`is longer than ${max} characters`)
    return text
  })

export const ipAddress = () =>
  field((text) => (isIP(text) === 0 ? refuse('must be an IPv4 or IPv6 address') : text))

const isCidr = (text: string) => {
  const [, address = '', prefix] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const version = isIP(address)
  if (version === 0) return false
  const bits = prefix === undefined ? undefined : Number(prefix)
  // A proxy range of every address would let any client write its own address.
  if (bits === 0) return false
  try {
    if (bits !== undefined)
      new BlockList().addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6')
    return true
  } catch {
    return false
  }
}

export const cidrList = () =>
  field((text) => {
    const ranges = split(text)
    return ranges.length > 0 && ranges.every(isCidr)
      ? ranges
      : refuse('must be a comma list of addresses or CIDR ranges (never true, a number or /0)')
  })

const isOrigin = (text: string) =>
  /^https?:\/\/[a-z0-9.:[\]-]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text

export const originList = () =>
  field((text) => {
    const origins = split(text)
    return origins.length > 0 && origins.every(isOrigin)
      ? origins
      : refuse(
          'must be a comma list of exact origins like https://app.example.com (no path, * or null)',
        )
  })

interface UrlRule {
  protocols: readonly string[]
  /** May carry `user:password@`. */
  credentials?: boolean
  query?: boolean
}

function parseUrl(text: string, rule: UrlRule): string {
  const schemes = rule.protocols.map((protocol) => `${protocol}//`)
  const url = !hasSpaceOrControl(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !rule.protocols.includes(url.protocol))
    return refuse(`must be a URL that starts with ${listOf(schemes)}`)
  if (text.includes('#')) refuse('must not have a fragment (#)')
  if (rule.query !== true && text.includes('?')) refuse('must not have a query (?)')
  const named = url.username !== '' || url.password !== ''
  if (rule.credentials !== true && named) refuse('must not hold a user or password')
  if (holdsPlaceholder(url.password)) refuse("'s password is a known placeholder")
  return text
}

/** An http(s) address, perhaps with a path; without the slash at its end. */
export const httpUrl = () =>
  field((text) => parseUrl(text, { protocols: ['https:', 'http:'] }).replace(/\/+$/, ''))

export const connectionUrl = (protocols: readonly string[]) =>
  field((text) => parseUrl(text, { protocols, credentials: true, query: true }))
