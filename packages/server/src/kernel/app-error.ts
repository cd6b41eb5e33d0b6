import {
  ERRORS,
  type ErrorBody,
  type ErrorCode,
  type ErrorRow,
  isErrorCode,
} from '@nanobanana/shared'
import type { ZodError } from 'zod'
import { sqlState } from '../db/client.ts'

export interface AppErrorOptions {
  /** Path of the offending input field. */
  param?: string
  /** Whole seconds for `Retry-After`. */
  retryAfterSeconds?: number
  /** Further response headers, such as `Allow`. */
  headers?: Record<string, string>
  /** For the log only. */
  cause?: unknown
}

/** A failure the caller may see: one row of the error table with a sentence of its own. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly param: string | null
  readonly retryAfterSeconds: number | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, message?: string, options: AppErrorOptions = {}) {
    super(printable(message ?? ERRORS[code].message, MAX_MESSAGE), { cause: options.cause })
    this.code = code
    this.param = options.param === undefined ? null : printable(options.param, MAX_PARAM)
    this.retryAfterSeconds = options.retryAfterSeconds
    this.headers = options.headers ?? {}
  }

  get row(): ErrorRow {
    return ERRORS[this.code]
  }

  toBody(requestId: string): ErrorBody {
    const { type } = this.row
    return {
      type,
      code: this.code,
      message: this.message,
      param: this.param,
      request_id: requestId,
    }
  }

  /** Headers every error answer carries, on every face. */
  toHeaders(): Record<string, string> {
    return {
      'x-should-retry': String(this.row.retryable),
      ...(this.row.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...(this.retryAfterSeconds === undefined
        ? {}
        : { 'retry-after': String(Math.max(1, Math.ceil(this.retryAfterSeconds))) }),
      ...this.headers,
    }
  }
}

/**
 * What the caller is told of anything thrown below; `internal` for what nobody foresaw. A schema
 * that failed down there was not about the caller's input, so its words are not for the caller.
 */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isDatabaseTrouble(error)) {
    return new AppError('unavailable', undefined, { retryAfterSeconds: 1, cause: error })
  }
  return new AppError('internal', undefined, { cause: error })
}

export function fromZod(error: ZodError): AppError {
  const issue = closestIssue(error.issues)
  if (issue === undefined) return new AppError('invalid_input')
  const unknownKey = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const path = [...issue.path, ...(unknownKey === undefined ? [] : [unknownKey])].map(String)
  const param = printable(path.join('.'), MAX_PARAM)
  if (unknownKey !== undefined) {
    return new AppError('invalid_input', `${param} is not a field of this request.`, { param })
  }
  if (param !== '' && issue.message.endsWith('received undefined')) {
    return new AppError('invalid_input', `${param} is required.`, { param })
  }
  const code = codeOf(issue)
  return param === ''
    ? new AppError(code, `The request is not valid: ${issue.message}.`)
    : new AppError(code, `${param}: ${issue.message}.`, { param })
}

/** A schema names another row than `invalid_input` in the `params` of a custom issue. */
function codeOf(issue: Issue): ErrorCode {
  const code: unknown = issue.code === 'custom' ? issue.params?.['code'] : undefined
  return isErrorCode(code) ? code : 'invalid_input'
}

type Issue = ZodError['issues'][number]

/** Of a union the alternative with the fewest faults is what the caller meant. */
function closestIssue(issues: readonly Issue[]): Issue | undefined {
  const [issue] = issues
  if (issue?.code !== 'invalid_union' || issue.errors.length === 0) return issue
  const [closest = []] = issue.errors.toSorted((a, b) => a.length - b.length)
  const inner = closestIssue(closest)
  return inner && { ...inner, path: [...issue.path, ...inner.path] }
}

const MAX_MESSAGE = 400
const MAX_PARAM = 200

/** Names come from the caller, and texts from the provider: bounded, one line, well-formed. */
const printable = (text: string, max: number): string =>
  text
    .slice(0, max)
    .toWellFormed()
    .replaceAll(/[\p{C}\u2028\u2029]/gu, '\uFFFD')

// Class 08: connection; 57P0x: shut down; 57014: statement timeout; 53: resources;
// 55P03: lock timeout; 25P03: idle in transaction; 25006: read-only after a failover.
const TROUBLE_STATES = /^(08|53|57P0|57014|55P03|25P03|25006|40001|40P01)/
const TROUBLE_ERRNOS = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH)$/
const TROUBLE_TEXTS =
  /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error/

/** Whether the database failed rather than refused: the statement may succeed later, or may have. */
export function isDatabaseTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const state = sqlState(error)
  if (state !== undefined) return TROUBLE_STATES.test(state)
  const { code } = error as { code?: unknown }
  return (
    (typeof code === 'string' && TROUBLE_ERRNOS.test(code)) || TROUBLE_TEXTS.test(error.message)
  )
}
