import { badRequest, GoogleError, invalidArgument } from './google-error.ts'
import { readImageWish } from './image-config.ts'
import type { ImageWish } from './image-config.ts'
import { asList, asObject } from './json.ts'
import type { JsonObject } from './json.ts'
import type { ModelSpec } from './models.ts'
import { readGenerateFields } from './request-fields.ts'
import { invalidValue, readPrompt } from './request-parts.ts'
import type { Prompt } from './request-parts.ts'

export interface GenerateRequest extends ImageWish {
  model: ModelSpec
  prompt: Prompt
  wantsText: boolean
  wantsImage: boolean
  includeThoughts: boolean
  serviceTier: string
}

const THINKING_LEVELS = ['THINKING_LEVEL_UNSPECIFIED', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH']
const MODALITIES = ['MODALITY_UNSPECIFIED', 'TEXT', 'IMAGE', 'AUDIO', 'VIDEO']

/** Reads a generateContent body, or throws the GoogleError that Google would answer with. */
export function readGenerateRequest(
  body: unknown,
  model: ModelSpec,
  unknownFields: readonly string[] = [],
): GenerateRequest {
  const fields = readGenerateFields(body, unknownFields)
  const config = asObject(fields.generationConfig)
  const prompt = readPrompt(fields)
  checkImageCount(prompt, model)
  checkCandidateCount(config)
  checkSeed(config)
  const modalities = readModalities(config)
  return {
    model,
    prompt,
    ...readImageWish(config, model),
    wantsText: modalities.includes('TEXT'),
    wantsImage: modalities.includes('IMAGE'),
    includeThoughts: readThinking(config, model),
    serviceTier: typeof fields.serviceTier === 'string' ? fields.serviceTier : 'standard',
  }
}

function checkImageCount(prompt: Prompt, model: ModelSpec): void {
  if (prompt.images <= (model.maxInputImages ?? Infinity)) return
  throw new GoogleError(invalidArgument('Request contains an invalid argument.'))
}

function checkCandidateCount(config: JsonObject): void {
  if (config.candidateCount === undefined || config.candidateCount === 1) return
  // NOTE: the text is known from other models, not seen for an image model.
  throw new GoogleError(invalidArgument('Multiple candidates is not enabled for this model'))
}

function checkSeed({ seed }: JsonObject): void {
  const isInt32 = typeof seed === 'number' && (seed | 0) === seed
  if (seed === undefined || isInt32) return
  throw invalidValue('generation_config.seed', 'TYPE_INT32', seed)
}

function readModalities(config: JsonObject): unknown[] {
  const modalities = asList(config.responseModalities)
  modalities.forEach((value, index) => {
    if (MODALITIES.includes(String(value))) return
    throw invalidEnum(`generation_config.response_modalities[${index}]`, 'Modality', value)
  })
  return modalities.length > 0 ? modalities : ['TEXT', 'IMAGE']
}

function readThinking(config: JsonObject, model: ModelSpec): boolean {
  const { thinkingLevel, includeThoughts } = asObject(config.thinkingConfig)
  if (thinkingLevel !== undefined) checkThinkingLevel(thinkingLevel, model)
  return includeThoughts === true
}

function checkThinkingLevel(level: unknown, model: ModelSpec): void {
  const name = String(level)
  if (!THINKING_LEVELS.includes(name)) {
    throw invalidEnum('generation_config.thinking_config.thinking_level', 'ThinkingLevel', level)
  }
  if (name === THINKING_LEVELS[0] || model.thinkingLevels.includes(name)) return
  throw new GoogleError(invalidArgument('Thinking level is not supported for this model.'))
}

function invalidEnum(path: string, type: string, value: unknown): GoogleError {
  const fullType = `type.googleapis.com/google.ai.generativelanguage.${type}`
  const description = `Invalid value at '${path}' (${fullType}), ${JSON.stringify(value)}`
  return new GoogleError(badRequest([{ field: path, description }]))
}
