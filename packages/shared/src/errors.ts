/** The one error table: server, OpenAPI document and SDK classes are made from it. */

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'budget_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'content_error'
  | 'upstream_error'
  | 'rate_limit_error'
  | 'api_error'
  | 'unavailable_error'

export interface ErrorRow {
  /** HTTP status of the answer. */
  readonly status: number
  readonly type: ErrorType
  /** Whether the same request can succeed later; sent as `x-should-retry`. */
  readonly retryable: boolean
  /** The sentence used where the place of failure has none of its own. */
  readonly message: string
}

const row = (status: number, type: ErrorType, retryable: boolean, message: string): ErrorRow => ({
  status,
  type,
  retryable,
  message,
})

const invalid = 'invalid_request_error'

export const ERRORS = {
  invalid_input: row(400, invalid, false, 'The request is not valid.'),
  invalid_json: row(400, invalid, false, 'The body is not valid JSON.'),
  password_too_short: row(400, invalid, false, 'The password is too short.'),
  password_too_long: row(400, invalid, false, 'The password is longer than 72 bytes of UTF-8.'),
  password_too_common: row(400, invalid, false, 'The password is too easy to guess.'),
  unsupported_parameter: row(400, invalid, false, 'The model does not support this parameter.'),
  invalid_image: row(400, invalid, false, 'The image is not a readable PNG, JPEG or WebP.'),
  image_url_not_supported: row(
    400,
    invalid,
    false,
    'Images are not fetched from URLs; send the bytes.',
  ),
  invalid_credentials: row(401, 'authentication_error', false, 'Email or password is wrong.'),
  invalid_token: row(
    401,
    'authentication_error',
    false,
    'Send a valid access token or API key as "Authorization: Bearer …".',
  ),
  invalid_api_key: row(401, 'authentication_error', false, 'The API key is not valid.'),
  budget_exceeded: row(402, 'budget_error', false, 'The monthly limit is reached.'),
  insufficient_scope: row(403, 'permission_error', false, 'The API key lacks the needed scope.'),
  key_required: row(403, 'permission_error', false, 'This route takes an API key.'),
  session_required: row(
    403,
    'permission_error',
    false,
    'This route takes an access token from POST /v1/auth/login, not an API key.',
  ),
  registration_closed: row(403, 'permission_error', false, 'Registration is closed.'),
  not_found: row(404, 'not_found_error', false, 'There is no such object.'),
  model_not_found: row(404, 'not_found_error', false, 'There is no such model.'),
  route_not_found: row(404, 'not_found_error', false, 'There is no such route.'),
  method_not_allowed: row(405, invalid, false, 'The route does not take this method.'),
  request_timeout: row(408, invalid, true, 'The request took too long to arrive.'),
  payload_too_large: row(413, invalid, false, 'The body is too large.'),
  uri_too_long: row(414, invalid, false, 'The URL is longer than 8 kB.'),
  unsupported_media_type: row(415, invalid, false, 'The media type is not supported.'),
  headers_too_large: row(431, invalid, false, 'The headers are larger than 16 kB.'),
  email_taken: row(409, 'conflict_error', false, 'The email address is already registered.'),
  key_limit_reached: row(409, 'conflict_error', false, 'An account has at most 25 active keys.'),
  webhook_limit_reached: row(409, 'conflict_error', false, 'An account has at most 20 webhooks.'),
  idempotency_in_progress: row(
    409,
    'conflict_error',
    true,
    'The first request with this Idempotency-Key is still running.',
  ),
  not_cancelable: row(409, 'conflict_error', false, 'The generation has already ended.'),
  not_deletable: row(409, 'conflict_error', false, 'The generation is still running.'),
  content_blocked: row(422, 'content_error', false, 'The provider refused the request.'),
  no_image: row(422, 'content_error', false, 'The provider answered without an image.'),
  idempotency_mismatch: row(
    422,
    'conflict_error',
    false,
    'The Idempotency-Key was used with another request.',
  ),
  upstream_failed: row(424, 'upstream_error', false, 'The provider refused this service for good.'),
  upstream_invalid: row(424, 'upstream_error', false, 'The provider sent an unusable answer.'),
  rate_limited: row(429, 'rate_limit_error', true, 'Too many requests.'),
  login_throttled: row(429, 'rate_limit_error', true, 'Too many attempts to log in.'),
  concurrency_limited: row(429, 'rate_limit_error', true, 'Too many requests at the same time.'),
  internal: row(500, 'api_error', true, 'Something failed on our side.'),
  provider_not_configured: row(
    503,
    'unavailable_error',
    false,
    'No image provider is configured: set GEMINI_API_KEY, or use a test key (nb_test_…).',
  ),
  upstream_unavailable: row(503, 'unavailable_error', true, 'The provider is unavailable.'),
  upstream_rate_limited: row(503, 'unavailable_error', true, 'The provider limits our requests.'),
  upstream_timeout: row(503, 'unavailable_error', true, 'The provider did not answer in time.'),
  overloaded: row(503, 'unavailable_error', true, 'The service is at its limit.'),
  unavailable: row(503, 'unavailable_error', true, 'The service cannot answer right now.'),
  shutting_down: row(503, 'unavailable_error', true, 'The service is shutting down.'),
} as const satisfies Record<string, ErrorRow>

/** Every `error.code` the API answers with. */
export type ErrorCode = keyof typeof ERRORS

export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[]

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value)
}

/** The one error shape, as it stands under `error` in every REST answer. */
export interface ErrorBody {
  type: ErrorType
  code: ErrorCode
  message: string
  /** Path of the offending input field, or null. */
  param: string | null
  request_id: string
}
