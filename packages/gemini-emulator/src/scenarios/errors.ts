import type { Call } from '../call.ts'
import {
  badRequest,
  errorBody,
  internalError,
  invalidArgument,
  invalidKey,
  modelNotFound,
} from '../google-error.ts'
import type { GoogleErrorBody } from '../google-error.ts'
import { quotaError } from '../quota-error.ts'
import type { QuotaErrorOptions } from '../quota-error.ts'
import { defineScenarios, failure } from './define.ts'
import type { ScenarioDefinition } from './define.ts'

export const ERROR_SCENARIOS = defineScenarios({
  'bad-key': error('400 with API_KEY_INVALID', () =>
    invalidKey('API key not valid. Please pass a valid API key.'),
  ),
  'key-not-found': error('400, key not found', () =>
    invalidKey('API Key not found. Please pass a valid API key.'),
  ),
  'key-expired': error('400, key expired', () =>
    invalidKey('API key expired. Please renew the API key.'),
  ),
  'bad-aspect-ratio': error('400, the list of ratios', () =>
    invalidArgument(
      '* GenerateContentRequest.generation_config.image_config.aspect_ratio: aspect_ratio must ' +
        "be one of '1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', or '21:9'.\n",
    ),
  ),
  'unknown-field': error('400 with fieldViolations', () => {
    const field = 'generation_config.image_config'
    const description = `Invalid JSON payload received. Unknown name "outputMimeType" at '${field}': Cannot find field.`
    return badRequest([{ field, description }])
  }),
  'aspect-not-enabled': error('400, ratio not enabled for the model', () =>
    invalidArgument('Aspect ratio is not enabled for this model'),
  ),
  'thinking-level': error('400, thinking level not supported', () =>
    invalidArgument('Thinking level is not supported for this model.'),
  ),
  'invalid-argument': error('400 without a reason', () =>
    invalidArgument('Request contains an invalid argument.'),
  ),
  'invalid-image': error('400, input image not valid', () =>
    invalidArgument('Provided image is not valid'),
  ),
  'region-blocked': error('400 FAILED_PRECONDITION, country', () =>
    errorBody(400, 'FAILED_PRECONDITION', 'Image generation is not available in your country.'),
  ),
  // NOTE: no real sample of a 403 body is known; the envelope is assumed.
  'permission-denied': error('403 PERMISSION_DENIED', () =>
    errorBody(403, 'PERMISSION_DENIED', 'The caller does not have permission'),
  ),
  'model-not-found': error('404 for the model', (call) =>
    modelNotFound(call.request.model.id, call.version, 'generateContent'),
  ),
  'entity-not-found': error('404, also for too many input tokens', () =>
    errorBody(404, 'NOT_FOUND', 'Requested entity was not found.'),
  ),
  'quota-per-minute': quota('429 PerMinute with RetryInfo 34.4s', { period: 'PerMinute' }),
  'quota-per-day': quota('429 PerDay with RetryInfo 34s', {
    period: 'PerDay',
    retryDelay: '34s',
  }),
  'quota-zero': quota('429 of the free tier, limit 0: never clears', {
    period: 'PerDay',
    freeTier: true,
    limit: 0,
    retryDelay: '34.921254606s',
  }),
  'quota-bare': error('429 without details', () =>
    errorBody(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).'),
  ),
  internal: error('500 INTERNAL', internalError),
  overloaded: error('503, model overloaded', () =>
    errorBody(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
  ),
  'deadline-expired': error('503, deadline expired', () =>
    errorBody(503, 'UNAVAILABLE', 'Deadline expired before operation could complete.'),
  ),
  'gateway-timeout': error('504 DEADLINE_EXCEEDED', () =>
    errorBody(504, 'DEADLINE_EXCEEDED', 'The request timed out. Please try again.'),
  ),
  error: error('any error by `status`, `code` and `message` (500 by default)', () =>
    errorBody(500, 'INTERNAL', 'Internal error encountered.'),
  ),
})

function error(summary: string, make: (call: Call) => GoogleErrorBody): ScenarioDefinition {
  return { summary, reply: (call) => failure(adjust(make(call), call)) }
}

function quota(
  summary: string,
  options: Partial<QuotaErrorOptions> & Pick<QuotaErrorOptions, 'period'>,
): ScenarioDefinition {
  return error(summary, (call) =>
    quotaError({
      model: call.request.model.id,
      freeTier: false,
      limit: 10,
      ...options,
      retryDelay: call.settings.retryDelay ?? options.retryDelay ?? '34.4s',
    }),
  )
}

function adjust({ error }: GoogleErrorBody, { settings }: Call): GoogleErrorBody {
  return {
    error: {
      ...error,
      code: settings.status ?? error.code,
      message: settings.message ?? error.message,
      status: settings.code ?? error.status,
    },
  }
}
