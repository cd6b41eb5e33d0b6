import { parse } from 'secure-json-parse'
import { AppError } from '../kernel/app-error.ts'

const MAX_DEPTH = 32
const MAX_ITEMS = 100
const MAX_KEYS = 100

/**
 * Parses JSON from outside. Refuses `__proto__` and `constructor.prototype`, and what is nested or
 * wide enough to exhaust the stack of whoever walks it next.
 */
export function parseJson(text: string): unknown {
  if (nestsDeeper(text, MAX_DEPTH)) throw tooDeep()
  let value: unknown
  try {
    value = parse(text, null, { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw new AppError('invalid_json', undefined, { cause: error })
  }
  checkWidth(value)
  return value
}

const tooDeep = () =>
  new AppError('invalid_input', `The body nests deeper than ${MAX_DEPTH} levels.`)

/** Counts brackets outside strings: cheaper than parsing what will be refused. */
function nestsDeeper(text: string, max: number): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === BACKSLASH) i++
      else if (code === QUOTE) inString = false
    } else if (code === QUOTE) inString = true
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > max) return true
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--
  }
  return false
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

function checkWidth(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const children: unknown[] = Array.isArray(value) ? value : Object.values(value)
  if (children.length > (Array.isArray(value) ? MAX_ITEMS : MAX_KEYS)) {
    throw new AppError(
      'invalid_input',
      `An array has at most ${MAX_ITEMS} entries and an object at most ${MAX_KEYS} fields.`,
    )
  }
  children.forEach(checkWidth)
}
