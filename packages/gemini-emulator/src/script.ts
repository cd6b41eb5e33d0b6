import { findMarker, parseScenario } from './scenario.ts'
import type { Scenario, ScenarioInput } from './scenario.ts'

/** Decides which scenario a request plays: its own marker, else the queue, else the default. */
export interface Script {
  enqueue: (scenarios: readonly unknown[]) => void
  setDefault: (scenario: unknown) => void
  clear: () => void
  take: (prompt: string) => Scenario
  queued: () => number
}

interface Waiting {
  scenario: Scenario
  left: number
}

export function createScript(initial?: ScenarioInput): Script {
  let queue: Waiting[] = []
  let standard = parseScenario(initial ?? 'success')
  const markerUses = new Map<string, number>()

  function takeMarked(prompt: string): Scenario | undefined {
    const marked = findMarker(prompt)
    if (!marked?.times) return marked
    const uses = (markerUses.get(prompt) ?? 0) + 1
    markerUses.set(prompt, uses)
    return uses <= marked.times ? marked : undefined
  }

  function takeQueued(): Scenario | undefined {
    const next = queue[0]
    if (!next) return undefined
    next.left -= 1
    if (next.left === 0) queue.shift()
    return next.scenario
  }

  return {
    enqueue: (scenarios) => {
      const parsed = scenarios.map(parseScenario)
      queue.push(...parsed.map((scenario) => ({ scenario, left: scenario.times ?? 1 })))
    },
    setDefault: (scenario) => {
      standard = parseScenario(scenario ?? 'success')
    },
    clear: () => {
      queue = []
      standard = parseScenario(initial ?? 'success')
      markerUses.clear()
    },
    take: (prompt) => takeMarked(prompt) ?? takeQueued() ?? standard,
    queued: () => queue.reduce((sum, waiting) => sum + waiting.left, 0),
  }
}
