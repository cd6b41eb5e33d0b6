import type { JsonObject } from './json.ts'

export interface GoogleErrorBody {
  error: { code: number; message: string; status: string; details?: JsonObject[] }
}

/** Stops a request with the envelope Google wraps every failure in. */
export class GoogleError extends Error {
  override readonly name = 'GoogleError'
  readonly body: GoogleErrorBody

  constructor(body: GoogleErrorBody) {
    super(body.error.message)
    this.body = body
  }
}

export function errorBody(
  code: number,
  status: string,
  message: string,
  details?: JsonObject[],
): GoogleErrorBody {
  return { error: { code, message, status, ...(details && { details }) } }
}

export function invalidArgument(message: string): GoogleErrorBody {
  return errorBody(400, 'INVALID_ARGUMENT', message)
}

/** The shape of a request that does not fit the schema: one line and one violation per field. */
export function badRequest(violations: { field: string; description: string }[]): GoogleErrorBody {
  const message = violations.map((violation) => violation.description).join('\n')
  return errorBody(400, 'INVALID_ARGUMENT', message, [
    { '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: violations },
  ])
}

export function modelNotFound(model: string, version: string, method: string): GoogleErrorBody {
  return errorBody(
    404,
    'NOT_FOUND',
    `models/${model} is not found for API version ${version}, or is not supported for ${method}. ` +
      'Call ListModels to see the list of available models and their supported methods.',
  )
}

export function invalidKey(message: string): GoogleErrorBody {
  return errorBody(400, 'INVALID_ARGUMENT', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'API_KEY_INVALID',
      domain: 'googleapis.com',
      metadata: { service: 'generativelanguage.googleapis.com' },
    },
    {
      '@type': 'type.googleapis.com/google.rpc.LocalizedMessage',
      locale: 'en-US',
      message,
    },
  ])
}

// NOTE: known from Google's documentation only; no real answer with this body has been seen.
export function missingKey(): GoogleErrorBody {
  return errorBody(
    403,
    'PERMISSION_DENIED',
    "Method doesn't allow unregistered callers (callers without established identity). " +
      'Please use API Key or other form of API consumer identity to call this API.',
  )
}

export function internalError(): GoogleErrorBody {
  return errorBody(
    500,
    'INTERNAL',
    'An internal error has occurred. Please retry or report in ' +
      'https://developers.generativeai.google/guide/troubleshooting',
  )
}
