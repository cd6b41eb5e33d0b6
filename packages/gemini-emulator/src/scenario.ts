import { isObject } from './json.ts'
import { SETTING_KINDS } from './scenario-settings.ts'
import type { ScenarioSettings } from './scenario-settings.ts'
import { isScenarioName } from './scenarios/table.ts'
import type { ScenarioName } from './scenarios/table.ts'

/** What to do with one request; plain JSON, so that it can come over HTTP too. */
export interface Scenario extends ScenarioSettings {
  /** A name of SCENARIOS, `success` by default. */
  name?: ScenarioName
  /** How many requests it serves: of the queue, or of the prompt that holds the marker. */
  times?: number
}

export type ScenarioInput = Scenario | ScenarioName

export class InvalidScenarioError extends Error {
  override readonly name = 'InvalidScenarioError'
}

const MARKER = /\[\[([a-z0-9-]+)((?:\s+[a-zA-Z]+=[^\s\]]*)*)\s*\]\]/g

/** Reads a scenario from outside, or throws an InvalidScenarioError that says what is wrong. */
export function parseScenario(input: unknown): Scenario {
  const scenario = typeof input === 'string' ? { name: input } : input
  if (!isObject(scenario)) throw new InvalidScenarioError('A scenario is a name or an object.')
  const { name = 'success', times, ...settings } = scenario
  if (typeof name !== 'string' || !isScenarioName(name)) {
    throw new InvalidScenarioError(`There is no scenario ${JSON.stringify(name)}.`)
  }
  if (times !== undefined && !isCount(times)) {
    throw new InvalidScenarioError('`times` must be a positive integer.')
  }
  for (const [key, value] of Object.entries(settings)) checkSetting(key, value)
  return { ...scenario, name }
}

/** Finds `[[name]]` or `[[name setting=value]]` in a prompt; an unknown name is ordinary text. */
export function findMarker(prompt: string): Scenario | undefined {
  for (const [, name = '', settings = ''] of prompt.matchAll(MARKER)) {
    if (isScenarioName(name)) return parseScenario({ name, ...parseMarkerSettings(settings) })
  }
  return undefined
}

function parseMarkerSettings(text: string): Record<string, unknown> {
  const pairs = text.split(/\s+/).filter(Boolean)
  return Object.fromEntries(
    pairs.map((pair) => {
      const [key = '', ...rest] = pair.split('=')
      return [key, parseMarkerValue(key, rest.join('='))]
    }),
  )
}

function parseMarkerValue(key: string, text: string): unknown {
  const kind = key === 'times' ? 'number' : settingKind(key)
  if (kind === 'number') return Number(text)
  if (kind === 'boolean') return text === 'true'
  return text
}

function checkSetting(key: string, value: unknown): void {
  const kind = settingKind(key)
  if (!kind) throw new InvalidScenarioError(`A scenario has no setting ${JSON.stringify(key)}.`)
  if (value === undefined || isOfKind(kind, value)) return
  const wanted = typeof kind === 'string' ? kind : kind.join(', ')
  throw new InvalidScenarioError(`The setting \`${key}\` wants: ${wanted}.`)
}

function settingKind(key: string) {
  return Object.hasOwn(SETTING_KINDS, key)
    ? SETTING_KINDS[key as keyof ScenarioSettings]
    : undefined
}

function isOfKind(kind: NonNullable<ReturnType<typeof settingKind>>, value: unknown): boolean {
  if (typeof kind !== 'string') return kind.includes(String(value))
  if (kind === 'number') return typeof value === 'number' && value >= 0 && Number.isFinite(value)
  if (kind !== 'headers') return typeof value === kind
  return isObject(value) && Object.values(value).every((header) => typeof header === 'string')
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0
}
