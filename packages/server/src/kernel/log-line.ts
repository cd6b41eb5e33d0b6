import { isSecretName, redactText } from './redact.ts'

/** Bytes of a line, its end included; collectors cut at 16 kB. */
const MAX_LINE_BYTES = 16_000

const LOOSE = { text: 4000, items: 50, depth: 8 }
const TIGHT = { text: 400, items: 12, depth: 4 }
type Bounds = typeof LOOSE

/** One serialised log line, made safe: redacted in every value, short, and without raw controls. */
export function cleanLine(line: string): string {
  const entry = parse(line)
  if (entry === undefined) return '{"level":"error","msg":"a log line could not be read"}\n'
  for (const bounds of [LOOSE, TIGHT]) {
    const clean = serialise(cleanValue(entry, bounds, 0))
    if (Buffer.byteLength(clean) <= MAX_LINE_BYTES) return clean
  }
  return serialise(cleanValue(summary(entry), TIGHT, 0))
}

/** The members that every line keeps; first, so that no bound drops them. */
const KEPT = ['level', 'time', 'reqId', 'request_id', 'msg']

function parse(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return undefined
    const entries = Object.entries(value)
    return Object.fromEntries([
      ...entries.filter(([name]) => KEPT.includes(name)),
      ...entries.filter(([name]) => !KEPT.includes(name)),
    ])
  } catch {
    return undefined
  }
}

/** What is left of an entry too large even with short texts. */
function summary(entry: object): object {
  const kept = Object.entries(entry).filter(([name]) => KEPT.includes(name))
  return { ...Object.fromEntries(kept), truncated: true }
}

function cleanValue(value: unknown, bounds: Bounds, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value, bounds.text)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= bounds.depth) return '[deep]'
  return Array.isArray(value) ? cleanList(value, bounds, depth) : cleanObject(value, bounds, depth)
}

/** A list may hold header names and values by turns, as `rawHeaders` does. */
function cleanList(list: readonly unknown[], bounds: Bounds, depth: number): unknown[] {
  const clean = list.slice(0, bounds.items).map((item, index) => {
    const before = list[index - 1]
    const named = typeof before === 'string' && isSecretName(before)
    return named && item !== null ? '[redacted]' : cleanValue(item, bounds, depth + 1)
  })
  return list.length > bounds.items ? [...clean, `[${list.length - bounds.items} more]`] : clean
}

function cleanObject(value: object, bounds: Bounds, depth: number): unknown {
  const entries = Object.entries(value) as [string, unknown][]
  if (isBytes(entries)) return '[bytes]'
  const pairOfSecret = entries.some(
    ([name, child]) =>
      /^(?:name|header|field)$/i.test(name) && typeof child === 'string' && isSecretName(child),
  )
  const clean = entries.slice(0, bounds.items).map(([name, child]): [string, unknown] => {
    const hide = isSecretName(name) || (pairOfSecret && name.toLowerCase() === 'value')
    return [
      cleanText(name, 200),
      hide && child !== null ? '[redacted]' : cleanValue(child, bounds, depth + 1),
    ]
  })
  if (entries.length > bounds.items) clean.push(['…', `[${entries.length - bounds.items} more]`])
  return Object.fromEntries(clean)
}

/** How JSON writes a Buffer, and a typed array. */
const isBytes = (entries: readonly [string, unknown][]) =>
  (entries.length === 2 && entries[0]?.[1] === 'Buffer' && Array.isArray(entries[1]?.[1])) ||
  (entries.length > 16 &&
    entries.every(([name, value]) => /^\d+$/.test(name) && Number.isInteger(value)))

function cleanText(text: string, limit: number): string {
  const clean = redactText(cut(text, limit * 4))
  return clean.length <= limit ? clean : `${clean.slice(0, limit).toWellFormed()}…`
}

/** Cuts before redacting, for speed; the last word goes too, for it may be half a secret. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text
  let end = limit
  while (end > limit - LONGEST_WORD && !/\s/.test(text.charAt(end - 1))) end--
  return `${text.slice(0, end)} …`
}
const LONGEST_WORD = 1024

// JSON leaves these raw: U+2028 and U+2029 end a line for some readers, U+0080–9F and U+007F speak
// to terminals, and bidi marks reorder what a reader sees.
const RAW = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g

const serialise = (value: unknown) =>
  `${JSON.stringify(value).replace(RAW, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
