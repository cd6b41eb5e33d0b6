import { readCountFields } from './request-fields.ts'
import { errorBody, GoogleError } from './google-error.ts'
import { asObject } from './json.ts'
import type { JsonObject } from './json.ts'
import { findModel, MODELS } from './models.ts'
import type { ModelSpec } from './models.ts'
import { readPrompt } from './request-parts.ts'

const DEFAULT_PAGE_SIZE = 50

export function modelPage(id: string, version: string): JsonObject {
  const model = findModel(id)
  if (model) return describe(model)
  // NOTE: no real sample of this text is known; it follows the 404 of the other methods.
  const text = `Model is not found: models/${id} for api version ${version}`
  throw new GoogleError(errorBody(404, 'NOT_FOUND', text))
}

export function modelList(query: URLSearchParams): JsonObject {
  const start = Number(query.get('pageToken') ?? 0)
  const end = start + Number(query.get('pageSize') || DEFAULT_PAGE_SIZE)
  return {
    models: MODELS.slice(start, end).map(describe),
    ...(end < MODELS.length && { nextPageToken: String(end) }),
  }
}

export function countTokens(body: unknown, model: ModelSpec): JsonObject {
  const fields = readCountFields(body)
  const prompt = readPrompt({ ...asObject(fields.generateContentRequest), ...fields })
  const imageTokens = prompt.images * model.inputImageTokens
  return {
    totalTokens: prompt.textTokens + imageTokens,
    promptTokensDetails: [
      { modality: 'TEXT', tokenCount: prompt.textTokens },
      ...(imageTokens > 0 ? [{ modality: 'IMAGE', tokenCount: imageTokens }] : []),
    ],
  }
}

function describe(model: ModelSpec): JsonObject {
  return {
    name: `models/${model.id}`,
    version: '001',
    displayName: model.displayName,
    description: `${model.displayName}, as the emulator plays it`,
    inputTokenLimit: model.inputTokenLimit,
    outputTokenLimit: model.outputTokenLimit,
    supportedGenerationMethods: ['generateContent', 'countTokens'],
    thinking: model.thoughtsTokens > 0,
  }
}
