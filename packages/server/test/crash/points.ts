/** Where the test build can kill itself, in the order in which a generation passes them. */
export const INNER_POINTS = [
  'accepted',
  'reserved',
  'before upstream',
  'upstream answered',
  'object half written',
  'object written',
  'before commit',
  'after commit',
  'before response',
] as const
export type InnerPoint = (typeof INNER_POINTS)[number]

/** What can be seen of the release build, or any time at all. */
export const OUTER_POINTS = [
  'upstream called',
  'upstream was answered',
  'PUT begun',
  'PUT ended',
  'any time',
] as const
export type OuterPoint = (typeof OUTER_POINTS)[number]

export type Point = InnerPoint | OuterPoint

export const POINTS: readonly Point[] = [...INNER_POINTS, ...OUTER_POINTS]

export const isInner = (point: Point): point is InnerPoint =>
  INNER_POINTS.some((inner) => inner === point)

/** Twenty rounds: what is seen from outside twice, and any time three times. */
const PLAN: readonly Point[] = [...POINTS, ...OUTER_POINTS, 'any time']
/** Has no factor in common with the plan's length, so it meets all of it, well mixed. */
const STRIDE = 7

/** Fewer than the orders of a round, so that each is met, and more than none are answered before. */
const OCCURRENCES = 9

/** Every twenty rounds have each point; from round to round it is another occurrence of it. */
export function planOf(round: number): { point: Point; nth: number; storage: 'disk' | 's3' } {
  const point = PLAN[(round * STRIDE) % PLAN.length] ?? 'any time'
  const cycle = Math.floor(round / PLAN.length)
  const onDisk = isInner(point) && (point === 'object half written' || cycle % 2 === 0)
  return { point, nth: 2 + (round % OCCURRENCES), storage: onDisk ? 'disk' : 's3' }
}
