import { readTextFile, type Reading } from './read.ts'

/** What the catalogue says of the text of MODELS_FILE, or of its absence. */
export type ReadModels = (text?: string) => {
  /** Names that DEFAULT_MODEL may have. */
  readonly names: readonly string[]
  readonly problems: readonly string[]
}

const MAX_BYTES = 1e6

/** The text of MODELS_FILE; pushes what is wrong with it, and names that no model has. */
export function readModelsFile(reading: Reading, readModels?: ReadModels): string | undefined {
  const { values, problems } = reading
  const { MODELS_FILE: file, DEFAULT_MODEL: model } = values
  const text = file === undefined ? undefined : readTextFile(file, MAX_BYTES)
  if (typeof text === 'object') {
    problems.push(`MODELS_FILE ${text.problem}`)
    return undefined
  }
  if (readModels === undefined) return text
  const { names, problems: faults } = readModels(text)
  problems.push(...faults.map((fault) => `MODELS_FILE ${fault}`))
  // Of a file with a fault it is not known what it would name.
  if (model !== undefined && faults.length === 0 && !names.includes(model))
    problems.push(`DEFAULT_MODEL names no model; it may be ${names.join(', ')}`)
  if (faults.length === 0) problems.push(...mapFaults(values.OPENAI_MODEL_MAP ?? {}, names))
  return text
}

/** By their place: it may be a value of another name that stands there. */
const mapFaults = (map: Readonly<Record<string, string>>, names: readonly string[]): string[] =>
  Object.entries(map).flatMap(([name, model], index) => [
    ...(names.includes(name)
      ? [`OPENAI_MODEL_MAP its pair no. ${index + 1} renames a model of ours`]
      : []),
    ...(model === 'default' || names.includes(model)
      ? []
      : [
          `OPENAI_MODEL_MAP its pair no. ${index + 1} names no model; it may be default, ${names.join(', ')}`,
        ]),
  ])
