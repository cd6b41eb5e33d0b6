import { MODELS, ModelList } from '@nanobanana/shared'
import { expect, test } from 'vitest'
import { createCatalogue, listModels } from './models.ts'

const catalogue = createCatalogue(MODELS)
const list = (defaultModel: string) =>
  listModels({ catalogue, settings: { defaultModel } } as Parameters<typeof listModels>[0])

test('a model is found by its id and by each of its aliases', () => {
  for (const model of MODELS)
    for (const name of [model.id, ...model.aliases]) expect(catalogue.find(name)).toBe(model)
  for (const name of ['', 'banana', 'constructor', '__proto__', 'Gemini-3-pro-image'])
    expect(catalogue.find(name)).toBeUndefined()
})

test('two models cannot share a name', () => {
  const [one, other] = MODELS
  expect(() => createCatalogue([one!, { ...other!, aliases: [one!.id] }])).toThrow(one!.id)
  expect(() => createCatalogue([one!, one!])).toThrow('two models')
})

test('the list shows what each model can do and costs', () => {
  const { object, data } = ModelList.parse(list('gemini-nano-banana-2.1'))
  expect(object).toBe('list')
  expect(data.map(({ id }) => id)).toEqual(MODELS.map(({ id }) => id))
  expect(data[0]).toMatchObject({
    id: 'gemini-nano-banana-2.1',
    object: 'model',
    owned_by: 'google',
    default: true,
    sizes: ['1K', '2K', '4K'],
    max_input_images: 14,
    pricing: {
      input_usd_per_million_tokens: 1.5,
      text_output_usd_per_million_tokens: 7.5,
      image_output_usd_per_million_tokens: 30,
      image_usd: { '1K': 0.0336, '2K': 0.0504, '4K': 0.1134 },
    },
  })
})

test('exactly one model is the default, also when an alias names it', () => {
  const defaults = (name: string) => list(name).data.filter((model) => model.default)
  expect(defaults('gemini-3-pro-image').map(({ id }) => id)).toEqual(['gemini-3-pro-image'])
  expect(defaults('nano-banana-2').map(({ id }) => id)).toEqual(['gemini-3.1-flash-image'])
})
