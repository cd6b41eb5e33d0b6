import {
  type AspectRatio,
  type GenerateInput,
  type Mode,
  type Model,
  type OutputFormat,
  type Size,
  type ThinkingLevel,
} from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Catalogue } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'

/** What the caller asked for, checked against what the model can do. */
export interface CheckedRequest {
  readonly model: Model
  readonly mode: Mode
  readonly aspectRatio: AspectRatio | undefined
  readonly size: Size
  /** Images, each by a call of its own. */
  readonly n: number
  /** Undefined: as the provider made it. */
  readonly outputFormat: OutputFormat | undefined
  readonly outputQuality: number | undefined
  readonly seed: number | undefined
  readonly thinkingLevel: ThinkingLevel | undefined
}

/** Checks a request before anything is written or spent. */
export function checkRequest(
  catalogue: Catalogue,
  defaultModel: string,
  principal: Principal,
  input: GenerateInput,
): CheckedRequest {
  const model = findModel(catalogue, input.model ?? defaultModel)
  checkSupport(model, input)
  checkOutput(input)
  return {
    model,
    mode: modeOfCall(principal, input.mode),
    aspectRatio: input.aspect_ratio,
    size: input.size ?? defaultSize(model),
    n: input.n ?? 1,
    outputFormat: input.output_format,
    outputQuality: input.output_quality,
    seed: input.seed,
    thinkingLevel: input.thinking_level,
  }
}

function findModel(catalogue: Catalogue, name: string): Model {
  const model = catalogue.find(name)
  if (model !== undefined) return model
  const known = catalogue.models.map((one) => one.id).join(', ')
  throw new AppError('model_not_found', `There is no model of this name. Known: ${known}.`, {
    param: 'model',
  })
}

function checkSupport(model: Model, input: GenerateInput): void {
  refuseUnless(model, 'aspect_ratio', input.aspect_ratio, model.aspectRatios)
  refuseUnless(model, 'size', input.size, model.sizes)
  refuseUnless(model, 'thinking_level', input.thinking_level, model.thinkingLevels)
  const { maxInputImages } = model
  if ((input.images?.length ?? 0) <= maxInputImages) return
  throw unsupported(model, 'images', maxInputImages === 0 ? 'none' : `${maxInputImages} at most`)
}

function refuseUnless(
  model: Model,
  param: string,
  value: string | undefined,
  allowed: readonly string[],
): void {
  if (value === undefined || allowed.includes(value)) return
  throw unsupported(model, param, allowed.length === 0 ? 'none' : allowed.join(', '))
}

const unsupported = (model: Model, param: string, allowed: string): AppError =>
  new AppError('unsupported_parameter', `${param}: ${model.id} takes ${allowed}.`, { param })

function checkOutput({ output_format: format, output_quality: quality }: GenerateInput): void {
  if (quality === undefined || format === 'jpeg' || format === 'webp') return
  throw new AppError('invalid_input', 'output_quality: needs output_format jpeg or webp.', {
    param: 'output_quality',
  })
}

const defaultSize = (model: Model): Size =>
  model.sizes.includes('1K') ? '1K' : (model.sizes[0] ?? '1K')

function modeOfCall(principal: Principal, asked: Mode | undefined): Mode {
  if (principal.kind === 'session') return asked ?? 'live'
  if (asked === undefined) return principal.mode
  throw new AppError('invalid_input', 'mode: an API key has a mode of its own; leave it out.', {
    param: 'mode',
  })
}
