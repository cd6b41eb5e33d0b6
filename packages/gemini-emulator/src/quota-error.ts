import { errorBody } from './google-error.ts'
import type { GoogleErrorBody } from './google-error.ts'

export interface QuotaErrorOptions {
  model: string
  period: 'PerDay' | 'PerMinute'
  freeTier: boolean
  limit: number
  retryDelay: string
}

const HELP = {
  '@type': 'type.googleapis.com/google.rpc.Help',
  links: [
    {
      description: 'Learn more about Gemini API quotas',
      url: 'https://ai.google.dev/gemini-api/docs/rate-limits',
    },
  ],
}

export function quotaError(options: QuotaErrorOptions): GoogleErrorBody {
  const { model, limit, retryDelay } = options
  const tier = options.freeTier ? 'free_tier' : 'paid_tier'
  const metric = `generativelanguage.googleapis.com/generate_content_${tier}_requests`
  const message =
    'You exceeded your current quota, please check your plan and billing details. ' +
    'For more information on this error, head to: ' +
    'https://ai.google.dev/gemini-api/docs/rate-limits. ' +
    'To monitor your current usage, head to: https://ai.dev/rate-limit. \n' +
    `* Quota exceeded for metric: ${metric}, limit: ${limit}, model: ${model}\n` +
    `Please retry in ${retryDelay}.`
  return errorBody(429, 'RESOURCE_EXHAUSTED', message, [
    HELP,
    {
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [
        {
          quotaMetric: metric,
          quotaId: quotaId(options),
          quotaDimensions: { location: 'global', model },
        },
      ],
    },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay },
  ])
}

function quotaId({ period, freeTier }: QuotaErrorOptions): string {
  return `GenerateRequests${period}PerProjectPerModel${freeTier ? '-FreeTier' : ''}`
}
