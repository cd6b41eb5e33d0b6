import { setTimeout as sleep } from 'node:timers/promises'
import type { OuterPoint } from './points.ts'
import type { Running } from './processes.ts'
import type { World } from './world.ts'

/** About as long as the work of a round. */
const ANY_TIME_MS = 2000

/** Kills it at the nth time that something is seen from outside, unless it is disposed of before. */
export function aim(
  world: World,
  service: Running,
  point: OuterPoint,
  nth: number,
): AsyncDisposable {
  return point === 'any time' ? aimBlindly(service) : aimAt(world, service, point, nth)
}

function aimBlindly(service: Running): AsyncDisposable {
  const timer = new AbortController()
  const shot = sleep(Math.random() * ANY_TIME_MS, undefined, timer).then(
    () => service.kill(),
    () => {},
  )
  return {
    async [Symbol.asyncDispose]() {
      timer.abort()
      await shot
    },
  }
}

const SEEN = {
  'upstream called': ['upstream', 'POST', 'begun'],
  'upstream was answered': ['upstream', 'POST', 'ended'],
  'PUT begun': ['bucket', 'PUT', 'begun'],
  'PUT ended': ['bucket', 'PUT', 'ended'],
} as const

function aimAt(
  world: World,
  service: Running,
  point: keyof typeof SEEN,
  nth: number,
): AsyncDisposable {
  const [place, method, event] = SEEN[point]
  const witness = world[place]
  let left = nth
  witness.listener = (seen, of) => {
    if (seen === event && of === method && --left === 0) void service.kill()
  }
  return {
    async [Symbol.asyncDispose]() {
      witness.listener = () => {}
    },
  }
}
