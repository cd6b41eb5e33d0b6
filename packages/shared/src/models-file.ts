import { ModelEntry } from './model-entry.ts'
import { faultLines } from './model-faults.ts'
import { MODEL_TABLE } from './model-table.ts'
import { type Model, MODELS, toModel } from './models.ts'

/** The built-in models with the changes of a models file. */
export interface ModelsReading {
  /** Those built in, while there is a problem. */
  readonly models: readonly Model[]
  /** Every id and alias. */
  readonly names: readonly string[]
  /** A line per fault of the file; it shows ids and fields, never a value: it may be the wrong file. */
  readonly problems: readonly string[]
}

/**
 * Reads the text of a models file, `{"models": […]}`. An entry whose id is built in changes that model
 * field by field, and its prices and tokens one by one; another adds a model.
 *
 * @param text Undefined: there is no file.
 */
export function readModels(text?: string): ModelsReading {
  const problems: string[] = []
  const entries = text === undefined ? [] : readEntries(text, problems)
  const models = withChanges(entries)
  // Of a part of the entries it cannot be told which names are free.
  if (problems.length === 0) problems.push(...repeatedIds(entries), ...repeatedNames(models))
  const valid = problems.length === 0 ? models : MODELS
  return { models: valid, names: valid.flatMap(namesOf), problems }
}

/** A changed model keeps its place in the list. */
function withChanges(entries: readonly Model[]): Model[] {
  const byId = new Map([...MODELS, ...entries].map((model) => [model.id, model]))
  return [...byId.values()]
}

/** A file with more is another file. */
const MAX_ENTRIES = 100

function readEntries(text: string, problems: string[]): Model[] {
  const file = parse(text)
  const list = isObject(file) && Object.keys(file).join() === 'models' ? file['models'] : undefined
  if (Array.isArray(list) && list.length <= MAX_ENTRIES)
    return list.flatMap((raw: unknown, index) => readEntry(raw, index, problems))
  problems.push(
    file === undefined
      ? 'is not valid JSON'
      : `must be {"models": [...]}, with ${MAX_ENTRIES} entries at most`,
  )
  return []
}

function parse(text: string): unknown {
  try {
    // An editor may have put a byte order mark before it.
    return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function readEntry(raw: unknown, index: number, problems: string[]): Model[] {
  const id = isObject(raw) ? raw['id'] : undefined
  const row = MODEL_TABLE.find((one) => one.id === id)
  const read = ModelEntry.safeParse(isObject(raw) && row !== undefined ? changed(row, raw) : raw)
  if (read.success) return [toModel(read.data)]
  const known = ModelEntry.shape.id.safeParse(id)
  const place = known.success ? `models[${index}] (${known.data})` : `models[${index}]`
  problems.push(...faultLines(read.error).map((line) => `${place}: ${line}`))
  return []
}

/** The row as an entry would have it; what the entry holds is not checked yet. */
function changed(row: (typeof MODEL_TABLE)[number], raw: Record<string, unknown>): unknown {
  // A changed price needs a day of its own: the ledger keeps it.
  const { as_of: _, ...prices } = row.pricing
  const { sizes = row.sizes, pricing } = raw
  const tokens = Object.entries(row.image_tokens).filter(
    ([size]) => Array.isArray(sizes) && sizes.includes(size),
  )
  return {
    ...row,
    ...raw,
    pricing: pricing === undefined ? row.pricing : merged(prices, pricing),
    image_tokens: merged(Object.fromEntries(tokens), raw['image_tokens']),
  }
}

const merged = (base: object, changes: unknown = {}): unknown =>
  isObject(changes) ? { ...base, ...changes } : changes

const repeatedIds = (entries: readonly Model[]): string[] =>
  entries
    .filter(({ id }, index) => entries.findIndex((other) => other.id === id) < index)
    .map(({ id }) => `has two entries of the id ${id}`)

const namesOf = ({ id, aliases }: Model): string[] => [id, ...aliases]

function repeatedNames(models: readonly Model[]): string[] {
  const owners = new Map<string, string>()
  const all = models.flatMap((model) => namesOf(model).map((name) => [name, model.id] as const))
  return all.flatMap(([name, id]) => {
    const owner = owners.get(name)
    owners.set(name, owner ?? id)
    return owner === undefined ? [] : [`gives the name ${name} to both ${owner} and ${id}`]
  })
}
