import { readFile, writeFile } from 'node:fs/promises'

const MB = 1e6

/** Memory of a process in bytes: now, and at its peak since `resetPeak`. Linux only. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string) =>
    Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') }
}

export const resetPeak = (pid: number): Promise<void> => writeFile(`/proc/${pid}/clear_refs`, '5')

/** Latencies in milliseconds. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  /** What 99 of 100 do not exceed. */
  readonly p99: number
  readonly max: number
}

/** Of a list in JSON; rejects for too few to speak of a percentile. */
export function percentilesOf(json: string): Percentiles {
  const sorted = (JSON.parse(json) as number[]).toSorted((a, b) => a - b)
  if (sorted.length < 100) throw new Error(`only ${sorted.length} probes`)
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1]!
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

export const megabytes = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`
