import { pino, stdTimeFunctions, type BaseLogger, type DestinationStream, type Logger } from 'pino'
import type { LogLevel } from '../config.ts'
import { cleanLine } from './log-line.ts'

/** What a service writes to. */
export type Log = Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

export interface LogOptions {
  level: LogLevel
  /** Default: standard output. */
  destination?: DestinationStream
}

/** One JSON object a line; every line passes `cleanLine`, whoever wrote it. */
export function createLog({ level, destination }: LogOptions): Logger {
  const options = {
    level,
    base: undefined,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: cleanLine },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/** A request id from outside, or undefined when it is not one. */
export function requestIdFrom(header: unknown): string | undefined {
  return typeof header === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(header) ? header : undefined
}
