import type { GenerateInput, Model } from '@nanobanana/shared'
import { nearestTo } from '../../features/generations/pixels.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { ImagesInput } from './fields.ts'

/** The request as `POST /v1/generate` would be asked it. */
export function toGenerateInput(
  deps: Pick<Deps, 'catalogue' | 'settings'>,
  input: ImagesInput,
): GenerateInput {
  const model = modelOf(deps, input.model)
  const found = deps.catalogue.find(model ?? deps.settings.defaultModel)
  const format = input.output_format ?? 'png'
  return {
    prompt: input.prompt,
    model,
    ...pixelsOf(found, input.size),
    n: input.n ?? undefined,
    images: input.image?.map((data) => ({ data })),
    output_format: format,
    output_quality: qualityOf(input, format),
    user: input.user,
  }
}

/** What the operator says a name stands for; undefined: the default model. */
function modelOf(
  { settings: { openaiModels } }: Pick<Deps, 'settings'>,
  name: string | null | undefined,
): string | undefined {
  if (name === null || name === undefined) return undefined
  const mapped = Object.hasOwn(openaiModels, name) ? openaiModels[name] : name
  return mapped === 'default' ? undefined : mapped
}

/** Of a model that is not there nothing is nearest; it is refused further on. */
function pixelsOf(
  model: Model | undefined,
  size: string | null | undefined,
): Pick<GenerateInput, 'aspect_ratio' | 'size'> {
  if (model === undefined || size === null || size === undefined || size === 'auto') return {}
  const [width = 0, height = 0] = size.split('x').map(Number)
  const nearest = nearestTo(model, { width, height })
  return { aspect_ratio: nearest.aspectRatio, size: nearest.size }
}

function qualityOf(
  { output_compression: compression }: ImagesInput,
  format: string,
): number | undefined {
  if (compression === null || compression === undefined) return undefined
  // OpenAI takes this for any format: a PNG loses nothing.
  if (compression === 100 && format === 'png') return undefined
  return Math.max(1, compression)
}
