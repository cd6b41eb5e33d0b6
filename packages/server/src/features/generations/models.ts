import type { Model, ModelInfo, ModelList } from '@nanobanana/shared'
import type { Catalogue, Deps } from '../../kernel/deps.ts'

/** A catalogue that finds models by id or alias. */
export function createCatalogue(models: readonly Model[]): Catalogue {
  const byName = new Map<string, Model>()
  for (const model of models) {
    for (const name of [model.id, ...model.aliases]) {
      if (byName.has(name)) throw new Error(`two models are called ${name}`)
      byName.set(name, model)
    }
  }
  return { models, names: [...byName.keys()], find: (name) => byName.get(name) }
}

export const listModels = ({
  catalogue,
  settings,
}: Pick<Deps, 'catalogue' | 'settings'>): ModelList => ({
  object: 'list',
  data: catalogue.models.map((model) =>
    renderModel(model, catalogue.find(settings.defaultModel) === model),
  ),
})

const usdPerMillion = (microsPerMillion: number): number => microsPerMillion / 1e6

function renderModel(model: Model, isDefault: boolean): ModelInfo {
  const { prices } = model
  const imageUsd = Object.entries(model.imageTokens).map(([size, tokens]) => [
    size,
    (tokens * prices.imageOutputMicrosPerMillion) / 1e12,
  ])
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'google',
    name: model.name,
    aliases: [...model.aliases],
    status: model.status,
    default: isDefault,
    aspect_ratios: [...model.aspectRatios],
    sizes: [...model.sizes],
    max_input_images: model.maxInputImages,
    thinking_levels: [...model.thinkingLevels],
    default_thinking_level: model.defaultThinkingLevel,
    pricing: {
      input_usd_per_million_tokens: usdPerMillion(prices.inputMicrosPerMillion),
      text_output_usd_per_million_tokens: usdPerMillion(prices.textOutputMicrosPerMillion),
      image_output_usd_per_million_tokens: usdPerMillion(prices.imageOutputMicrosPerMillion),
      image_usd: Object.fromEntries(imageUsd),
      as_of: model.pricesAsOf,
    },
  }
}
