import type { AspectRatio, GenerateInput, Mode, Model, Size } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Catalogue } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'

/** What the caller asked for, checked against what the model can do. */
export interface CheckedRequest {
  readonly model: Model
  readonly mode: Mode
  readonly aspectRatio: AspectRatio | undefined
  readonly size: Size
}

/** Checks a request before anything is written or spent. */
export function checkRequest(
  catalogue: Catalogue,
  defaultModel: string,
  principal: Principal,
  input: GenerateInput,
): CheckedRequest {
  const model = findModel(catalogue, input.model ?? defaultModel)
  const { aspect_ratio: aspectRatio, size } = input
  if (aspectRatio !== undefined)
    refuseUnless(model, 'aspect_ratio', aspectRatio, model.aspectRatios)
  if (size !== undefined) refuseUnless(model, 'size', size, model.sizes)
  return {
    model,
    mode: modeOfCall(principal, input.mode),
    aspectRatio,
    size: size ?? defaultSize(model),
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

function refuseUnless(
  model: Model,
  param: 'aspect_ratio' | 'size',
  value: string,
  allowed: readonly string[],
): void {
  if (allowed.includes(value)) return
  throw new AppError(
    'unsupported_parameter',
    `${param}: ${model.id} takes ${allowed.join(', ')}.`,
    { param },
  )
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
