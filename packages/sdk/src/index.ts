export { NanoBanana } from './client.ts'
export type { ClientOptions, Fetch } from './config.ts'
export {
  ApiError,
  AuthenticationError,
  BudgetError,
  ConflictError,
  ConnectionError,
  ContentError,
  InvalidRequestError,
  NanoBananaError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  TimeoutError,
  UnavailableError,
  UpstreamError,
} from './errors.ts'
export type { ErrorDetails, NanoBananaErrorCode, NanoBananaErrorType } from './errors.ts'
export type * from './generated/api.ts'
export type * from './generated/types.ts'
export type { CallOptions } from './request.ts'
