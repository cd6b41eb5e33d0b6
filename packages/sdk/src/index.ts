export type { CallOptions } from './bounds.ts'
export type { Call, WithResponse } from './call.ts'
export { NanoBanana } from './client.ts'
export type { Generations } from './client.ts'
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
export type { Generate, WaitOptions } from './generate.ts'
export type { GenerateOptions } from './generate-options.ts'
export type * from './generated/api.ts'
export type * from './generated/types.ts'
export type { GenerateParams, ImageSource } from './image-source.ts'
export type { Page, PageCall } from './page.ts'
export type {
  GenerationResult,
  ImageEvent,
  ImageResult,
  StatusEvent,
  StreamEvent,
  TextEvent,
} from './results.ts'
export type { EventStream } from './stream.ts'
