import { BODY_SCENARIOS } from './bodies.ts'
import type { ScenarioDefinition } from './define.ts'
import { ERROR_SCENARIOS } from './errors.ts'
import { PICTURE_SCENARIOS } from './pictures.ts'
import { REFUSAL_SCENARIOS } from './refusals.ts'
import { STREAM_SCENARIOS } from './streams.ts'

/** Everything the emulator can be told to do, by name. */
export const SCENARIOS = {
  ...PICTURE_SCENARIOS,
  ...REFUSAL_SCENARIOS,
  ...ERROR_SCENARIOS,
  ...BODY_SCENARIOS,
  ...STREAM_SCENARIOS,
} satisfies Record<string, ScenarioDefinition>

export type ScenarioName = keyof typeof SCENARIOS

export function isScenarioName(name: string): name is ScenarioName {
  return Object.hasOwn(SCENARIOS, name)
}
