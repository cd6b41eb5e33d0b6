import { readFileSync, statSync } from 'node:fs'
import { FIELDS, NAMES, SECRET_NAMES, type Name, type Values } from './environment.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** Larger than any list of secrets; a path to a device or a dump must not fill the memory. */
const MAX_SECRET_FILE_BYTES = 65_536

export interface Reading {
  /** A name with a fault has no value here, so the cross checks ask `isSet` first. */
  readonly values: Partial<Values>
  readonly problems: string[]
  isSet(name: Name): boolean
}

/** Empty counts as unset: compose files and templates write `NAME=`. */
const filled = (text: string | undefined) =>
  text === undefined || text.trim() === '' ? undefined : text

/** Parses each name by itself, so that one fault does not hide the next. */
export function readEnvironment(env: Env): Reading {
  const problems: string[] = []
  const set = new Set<Name>()
  const values: Partial<Record<Name, unknown>> = {}
  for (const name of NAMES) {
    const raw = rawValue(env, name, problems)
    if (raw === FAULTY || raw !== undefined) set.add(name)
    if (raw === FAULTY) continue
    const parsed = FIELDS[name].safeParse(raw)
    if (parsed.success) values[name] = parsed.data
    else problems.push(...parsed.error.issues.map((issue) => `${name} ${issue.message}`))
  }
  return { values: values as Partial<Values>, problems, isSet: (name) => set.has(name) }
}

const FAULTY = Symbol('faulty')

function rawValue(env: Env, name: Name, problems: string[]): string | undefined | typeof FAULTY {
  const value = filled(ownValue(env, name))
  const file = SECRET_NAMES.includes(name) ? filled(ownValue(env, `${name}_FILE`)) : undefined
  if (file === undefined) return value
  if (value !== undefined) {
    problems.push(`${name} and ${name}_FILE are both set; keep one`)
    return FAULTY
  }
  const text = readTextFile(file.trim(), MAX_SECRET_FILE_BYTES)
  if (typeof text === 'object') {
    problems.push(`${name}_FILE ${text.problem}`)
    return FAULTY
  }
  return text
}

const ownValue = (env: Env, name: string) => (Object.hasOwn(env, name) ? env[name] : undefined)

/** The text of a file that the environment names, or what is wrong with it. */
export function readTextFile(file: string, maxBytes: number): string | { problem: string } {
  try {
    const found = statSync(file)
    if (!found.isFile()) return { problem: 'names no regular file' }
    if (found.size > maxBytes) return { problem: 'names a file that is too large' }
    return filled(readFileSync(file, 'utf8')) ?? { problem: 'names an empty file' }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    return { problem: `cannot be read (${code})` }
  }
}
