import { readFileSync } from 'node:fs'
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
    thinking_levels: ['minimal', 'medium', 'high'],
    default_thinking_level: 'medium',
    pricing: {
      input_usd_per_million_tokens: 1.5,
      text_output_usd_per_million_tokens: 7.5,
      image_output_usd_per_million_tokens: 30,
      image_usd: { '1K': 0.0336, '2K': 0.0504, '4K': 0.1134 },
      as_of: '2026-10-09',
    },
  })
  const levels = data.map((model) => [model.thinking_levels, model.default_thinking_level])
  expect(levels.slice(1)).toEqual([
    [['minimal', 'high'], null],
    [[], null],
    [['minimal', 'high'], 'minimal'],
    [[], null],
  ])
})

test('exactly one model is the default, also when an alias names it', () => {
  const defaults = (name: string) => list(name).data.filter((model) => model.default)
  expect(defaults('gemini-3-pro-image').map(({ id }) => id)).toEqual(['gemini-3-pro-image'])
  expect(defaults('nano-banana-2').map(({ id }) => id)).toEqual(['gemini-3.1-flash-image'])
})

test('the page on models has a row for each with its names, sizes and prices', () => {
  const page = readFileSync(new URL('../../../../../docs/models.md', import.meta.url), 'utf8')
  const rows = page.split('\n').filter((line) => line.startsWith('| `'))
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()))
  expect(
    cells.map(([, id, aliases, ratios, prices, inputs, levels]) => [
      [id, aliases, ratios, prices, inputs],
      levels?.replaceAll('*', ''),
      /\*\*(.+)\*\*/.exec(levels ?? '')?.[1] ?? null,
    ]),
  ).toEqual(
    list('nano-banana').data.map((model) => [
      [
        `\`${model.id}\``,
        model.aliases.map((alias) => `\`${alias}\``).join(', ') || '–',
        String(model.aspect_ratios.length),
        model.sizes.map((size) => `${size} ${model.pricing.image_usd[size]}`).join(', '),
        String(model.max_input_images),
      ],
      model.thinking_levels.join(', ') || expect.stringMatching(/^(always|never)$/),
      model.default_thinking_level,
    ]),
  )
})
