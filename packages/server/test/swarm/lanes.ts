/** Runs all the tasks, so many at once. */
export async function inLanes<T>(
  count: number,
  tasks: Iterable<T>,
  run: (task: T) => Promise<void>,
): Promise<void> {
  const left = tasks[Symbol.iterator]()
  const lane = async () => {
    for (let next = left.next(); next.done !== true; next = left.next()) await run(next.value)
  }
  await Promise.all(Array.from({ length: count }, lane))
}

/** What so many of a hundred do not exceed. */
export function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

export const tally = (values: Iterable<string>): string => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([value, count]) => `${count} ${value}`)
    .join(', ')
}

/** What one part of the swarm came to. */
export interface Report {
  readonly figures: readonly string[]
  readonly faults: readonly string[]
}
