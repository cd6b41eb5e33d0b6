import {
  type ErrorBody,
  ERRORS,
  type ErrorCode,
  type ErrorType,
  isErrorCode,
} from '@nanobanana/shared/errors'

/**
 * Every value of `error.code`: those of the service, and two for requests that got no answer from
 * it. A newer service may send further ones, so leave room for them in a `switch`.
 */
export type NanoBananaErrorCode = ErrorCode | 'connection_failed' | 'timeout'

/** Every value of `error.type`. */
export type NanoBananaErrorType = ErrorType | 'connection_error'

/** What an error carries beside its message. */
export interface ErrorDetails {
  readonly code: NanoBananaErrorCode
  readonly type: NanoBananaErrorType
  readonly status?: number | undefined
  readonly param?: string | null | undefined
  readonly requestId?: string | undefined
  readonly generationId?: string | undefined
  readonly retryAfterMs?: number | undefined
  readonly shouldRetry: boolean
  readonly cause?: unknown
}

/** The base of all errors of the SDK; tell them apart by class or by `code`, never by message. */
export class NanoBananaError extends Error {
  override readonly name: string = 'NanoBananaError'
  /** Names what went wrong; stable between versions. */
  readonly code: NanoBananaErrorCode
  readonly type: NanoBananaErrorType
  /** HTTP status; undefined without an answer. */
  readonly status: number | undefined
  /** Path of the offending input field, or null. */
  readonly param: string | null
  /** Id of the request; name it when you ask the operator for help. */
  readonly requestId: string | undefined
  /** Id of the generation, when the request had made one before it failed. */
  readonly generationId: string | undefined
  /** Milliseconds to wait before the next try, when the service says so. */
  readonly retryAfterMs: number | undefined
  /** Whether the same request can succeed later. */
  readonly shouldRetry: boolean

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = details.code
    this.type = details.type
    this.status = details.status
    this.param = details.param ?? null
    this.requestId = details.requestId
    this.generationId = details.generationId
    this.retryAfterMs = details.retryAfterMs
    this.shouldRetry = details.shouldRetry
  }
}

/** The request is not valid; `param` names the field. */
export class InvalidRequestError extends NanoBananaError {
  override readonly name = 'InvalidRequestError'
}

/** The API key, access token or password is wrong or missing. */
export class AuthenticationError extends NanoBananaError {
  override readonly name = 'AuthenticationError'
}

/** The monthly limit is reached. */
export class BudgetError extends NanoBananaError {
  override readonly name = 'BudgetError'
}

/** The credential is valid but may not do this. */
export class PermissionDeniedError extends NanoBananaError {
  override readonly name = 'PermissionDeniedError'
}

/** There is no such object, or it belongs to another account. */
export class NotFoundError extends NanoBananaError {
  override readonly name = 'NotFoundError'
}

/** The request contradicts what is there already. */
export class ConflictError extends NanoBananaError {
  override readonly name = 'ConflictError'
}

/** The provider refused the prompt, or made no image of it. */
export class ContentError extends NanoBananaError {
  override readonly name = 'ContentError'
}

/** The provider failed for good; a repeat does not help. */
export class UpstreamError extends NanoBananaError {
  override readonly name = 'UpstreamError'
}

/** Too many requests; wait `retryAfterMs`. */
export class RateLimitError extends NanoBananaError {
  override readonly name = 'RateLimitError'
}

/** The service failed. */
export class ApiError extends NanoBananaError {
  override readonly name = 'ApiError'
}

/** The service or its provider cannot answer right now; see `shouldRetry`. */
export class UnavailableError extends NanoBananaError {
  override readonly name = 'UnavailableError'
}

/** The service was not reached, or what answered was not the service; `status` says which. */
export class ConnectionError extends NanoBananaError {
  override readonly name = 'ConnectionError'

  constructor(message: string, details: Omit<ErrorDetails, 'code' | 'type'>) {
    super(message, { ...details, code: 'connection_failed', type: 'connection_error' })
  }
}

/** The answer was not there within `timeoutMs`. */
export class TimeoutError extends NanoBananaError {
  override readonly name = 'TimeoutError'

  constructor(message: string, details: Omit<ErrorDetails, 'code' | 'type'>) {
    super(message, { ...details, code: 'timeout', type: 'connection_error' })
  }
}

const CLASSES: Record<ErrorType, typeof NanoBananaError> = {
  invalid_request_error: InvalidRequestError,
  authentication_error: AuthenticationError,
  budget_error: BudgetError,
  permission_error: PermissionDeniedError,
  not_found_error: NotFoundError,
  conflict_error: ConflictError,
  content_error: ContentError,
  upstream_error: UpstreamError,
  rate_limit_error: RateLimitError,
  api_error: ApiError,
  unavailable_error: UnavailableError,
}

/** What the headers and status line of an answer say. */
export interface AnswerFacts {
  readonly status: number
  readonly requestId: string | undefined
  readonly generationId: string | undefined
  readonly retryAfterMs: number | undefined
  /** Undefined where the header is missing. */
  readonly shouldRetry: boolean | undefined
}

/** The error of an answer in the service's error shape. */
export function fromBody(body: ErrorBody, answer: AnswerFacts): NanoBananaError {
  const { type, code, message, param } = body
  // A type of a newer service is still an error of ours.
  const Class = Object.hasOwn(CLASSES, type) ? CLASSES[type] : NanoBananaError
  return new Class(message, {
    ...answer,
    code,
    type,
    param,
    requestId: answer.requestId ?? body.request_id,
    shouldRetry: answer.shouldRetry ?? isRetryable(code, answer.status),
  })
}

const isRetryable = (code: ErrorCode, status: number): boolean =>
  isErrorCode(code) ? ERRORS[code].retryable : isTransient(status)

/** Statuses that pass. */
export const isTransient = (status: number): boolean =>
  status === 408 || status === 429 || status >= 500

/** Finds the service's error object in what tRPC throws. */
export function errorBodyOf(thrown: unknown): ErrorBody | undefined {
  const body = (thrown as { data?: { error?: Partial<ErrorBody> } | null } | null)?.data?.error
  const isBody =
    typeof body?.type === 'string' &&
    typeof body.code === 'string' &&
    typeof body.message === 'string'
  return isBody ? (body as ErrorBody) : undefined
}
