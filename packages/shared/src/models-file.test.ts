import { expect, test } from 'vitest'
import { readModels } from './models-file.ts'
import { MODELS } from './models.ts'

const NEW = {
  id: 'gemini-next',
  aspect_ratios: ['1:1', '16:9'],
  sizes: ['1K', '2K'],
  max_input_images: 0,
  image_tokens: { '1K': 1000, '2K': 2000 },
  pricing: {
    input_usd_per_million_tokens: 0.1,
    text_output_usd_per_million_tokens: 2.000001,
    image_output_usd_per_million_tokens: 30,
    as_of: '2026-11-20',
  },
}
const read = (...models: unknown[]) => readModels(JSON.stringify({ models }))
const find = ({ models }: ReturnType<typeof readModels>, id: string) =>
  models.find((model) => model.id === id)

test('without a file the models are the built-in ones, and so with an empty one', () => {
  for (const reading of [readModels(), read()]) {
    expect(reading.problems).toEqual([])
    expect(reading.models).toEqual(MODELS)
    expect(reading.names).toContain('nano-banana')
  }
})

test('a new id adds a model, with what it leaves out by default, its prices exact', () => {
  const reading = read(NEW)
  expect(reading.problems).toEqual([])
  expect(reading.models).toHaveLength(MODELS.length + 1)
  expect(reading.names).toContain('gemini-next')
  expect(find(reading, 'gemini-next')).toEqual({
    id: 'gemini-next',
    name: 'gemini-next',
    aliases: [],
    status: 'stable',
    aspectRatios: ['1:1', '16:9'],
    sizes: ['1K', '2K'],
    sendsSize: true,
    maxInputImages: 0,
    thinkingLevels: [],
    defaultThinkingLevel: null,
    imageTokens: { '1K': 1000, '2K': 2000 },
    textAllowanceTokens: 1000,
    prices: {
      inputMicrosPerMillion: 100_000,
      textOutputMicrosPerMillion: 2_000_001,
      imageOutputMicrosPerMillion: 30_000_000,
    },
    pricesAsOf: '2026-11-20',
    created: Date.parse('2026-11-20') / 1000,
  })
})

test('a known id changes the model field by field, in its place', () => {
  const id = 'gemini-3.1-flash-image'
  const before = MODELS.find((model) => model.id === id)!
  const pricing = { text_output_usd_per_million_tokens: 9, as_of: '2026-12-01' }
  const reading = read({ id, status: 'stable', pricing, image_tokens: { '4K': 2600 } })
  expect(reading.problems).toEqual([])
  expect(reading.models.map((model) => model.id)).toEqual(MODELS.map((model) => model.id))
  expect(find(reading, id)).toEqual({
    ...before,
    status: 'stable',
    imageTokens: { ...before.imageTokens, '4K': 2600 },
    prices: { ...before.prices, textOutputMicrosPerMillion: 9_000_000 },
    pricesAsOf: '2026-12-01',
  })
})

test('a model that loses a size loses its tokens, and a size that is not sent is never sent', () => {
  const id = 'gemini-nano-banana-2.1'
  const small = find(read({ id, sizes: ['1K'] }), id)
  expect(small).toMatchObject({ sizes: ['1K'], sendsSize: false })
  expect(small?.imageTokens).toEqual({ '1K': 1120 })
  expect(find(read({ id, sizes: ['2K'] }), id)?.sendsSize).toBe(true)
})

test('an alias may move from one model to another', () => {
  const reading = read(
    { ...NEW, aliases: ['nano-banana'] },
    { id: 'gemini-nano-banana-2.1', aliases: [] },
  )
  expect(reading.problems).toEqual([])
  expect(find(reading, 'gemini-next')?.aliases).toEqual(['nano-banana'])
})

test.each([
  ['{', 'is not valid JSON'],
  ['JWT_SECRET=abc', 'is not valid JSON'],
  ['null', 'must be {"models": [...]}, with 100 entries at most'],
  ['[]', 'must be {"models": [...]}, with 100 entries at most'],
  ['{"models":{}}', 'must be {"models": [...]}, with 100 entries at most'],
  ['{"models":[],"more":1}', 'must be {"models": [...]}, with 100 entries at most'],
  [
    JSON.stringify({ models: Array.from({ length: 101 }, () => NEW) }),
    'must be {"models": [...]}, with 100 entries at most',
  ],
])('%s is no models file', (text, problem) => {
  expect(readModels(text)).toMatchObject({ models: MODELS, problems: [problem] })
})

test('a byte order mark before the text does no harm', () => {
  expect(readModels('\uFEFF{"models":[]}').problems).toEqual([])
})

const known = { id: 'gemini-3-pro-image' }
const pricing = (change: object) => ({ ...NEW, pricing: { ...NEW.pricing, ...change } })
const usd = 'must be US dollars from 0 to 100000, with at most 6 decimals'
const [at, next] = ['models[0]', 'models[0] (gemini-next)']
const pro = 'models[0] (gemini-3-pro-image)'

test.each<[entry: unknown, ...problems: string[]]>([
  [7, `${at}: a model must be of the type object`],
  [{ ...NEW, id: undefined }, `${at}: id is required`],
  [
    { ...NEW, id: '../v1' },
    `${at}: id must be 1 to 100 letters, digits, dots, dashes and underscores`,
  ],
  [
    { ...NEW, aliases: ['a b'] },
    `${next}: aliases[0] must be 1 to 100 letters, digits, dots, dashes and underscores`,
  ],
  [{ ...NEW, aliases: ['a', 'a'] }, `${next}: aliases must not repeat a value`],
  [
    { ...NEW, aliases: ['nano-banana'] },
    'gives the name nano-banana to both gemini-nano-banana-2.1 and gemini-next',
  ],
  [
    { ...NEW, aliases: ['gemini-next'] },
    'gives the name gemini-next to both gemini-next and gemini-next',
  ],
  [
    { ...NEW, id: 'nano-banana' },
    'gives the name nano-banana to both gemini-nano-banana-2.1 and nano-banana',
  ],
  [
    { ...NEW, name: 'a\u0007' },
    `${next}: name must be 1 to 100 characters, without control characters`,
  ],
  [{ ...NEW, status: 'gone' }, `${next}: status must be one of stable, deprecated`],
  [
    { ...NEW, aspect_ratios: ['1:1', '2:1'] },
    `${next}: aspect_ratios[1] must be one of 1:1, 2:3, 3:2, 3:4, 4:3, 4:5, 5:4, 9:16, 16:9, 21:9, 1:4, 4:1, 1:8, 8:1`,
  ],
  [{ ...NEW, aspect_ratios: [] }, `${next}: aspect_ratios must not be empty`],
  [{ ...NEW, sizes: ['1K', '8K'] }, `${next}: sizes[1] must be one of 512, 1K, 2K, 4K`],
  [{ ...NEW, sizes: '1K' }, `${next}: sizes must be of the type array`],
  [{ ...NEW, image_tokens: { '1K': 1 } }, `${next}: image_tokens.2K is required`],
  [{ ...NEW, sizes: ['1K'] }, `${next}: image_tokens.2K is for a size that is not in sizes`],
  [
    { ...NEW, image_tokens: { ...NEW.image_tokens, '8K': 1 } },
    `${next}: image_tokens has no field "8K"`,
  ],
  [
    { ...NEW, image_tokens: { '1K': 0, '2K': 1 } },
    `${next}: image_tokens.1K must be a whole number from 1 to 1000000`,
  ],
  [
    { ...NEW, max_input_images: 15 },
    `${next}: max_input_images must be a whole number from 0 to 14`,
  ],
  [
    { ...NEW, thinking_levels: ['low'] },
    `${next}: thinking_levels[0] must be one of minimal, medium, high`,
  ],
  [
    { ...NEW, default_thinking_level: 'high' },
    `${next}: default_thinking_level must be one of thinking_levels`,
  ],
  [{ ...NEW, created: '2026-11-20' }, `${next}: created must be of the type number`],
  [{ ...NEW, prices: {} }, `${next}: a model has no field "prices"`],
  [{ ...NEW, pricing: undefined }, `${next}: pricing is required`],
  [
    pricing({ input_usd_per_million_tokens: 0.0000001 }),
    `${next}: pricing.input_usd_per_million_tokens ${usd}`,
  ],
  [
    pricing({ input_usd_per_million_tokens: 1.1234567 }),
    `${next}: pricing.input_usd_per_million_tokens ${usd}`,
  ],
  [
    pricing({ input_usd_per_million_tokens: -1 }),
    `${next}: pricing.input_usd_per_million_tokens ${usd}`,
  ],
  [
    pricing({ image_output_usd_per_million_tokens: '30' }),
    `${next}: pricing.image_output_usd_per_million_tokens must be of the type number`,
  ],
  [pricing({ as_of: '2026-02-30' }), `${next}: pricing.as_of must be a day like 2026-10-09`],
  [pricing({ eur: 1 }), `${next}: pricing has no field "eur"`],
  [{ ...known, pricing: { input_usd_per_million_tokens: 1 } }, `${pro}: pricing.as_of is required`],
  [{ ...known, pricing: null }, `${pro}: pricing must be of the type object`],
  [{ ...known, sizes: ['512', '1K'] }, `${pro}: image_tokens.512 is required`],
  [
    { ...known, image_tokens: { '512': 5 } },
    `${pro}: image_tokens.512 is for a size that is not in sizes`,
  ],
  [
    { ...known, default_thinking_level: 'high' },
    `${pro}: default_thinking_level must be one of thinking_levels`,
  ],
  [{ ...known, nmae: 'Pro' }, `${pro}: a model has no field "nmae"`],
  [
    JSON.parse('{"id":"gemini-3-pro-image","__proto__":{"name":"x"}}'),
    `${pro}: a model has no field "__proto__"`,
  ],
])('%j is refused by entry and field', (entry, ...problems) => {
  const reading = read(entry)
  expect(reading.problems).toEqual(problems)
  expect(reading.models).toBe(MODELS)
})

test('every fault of every entry is told at once', () => {
  const { problems } = read({ ...NEW, status: 'gone', sizes: [] }, NEW, { ...known, name: 1 })
  expect(problems).toEqual([
    `${next}: status must be one of stable, deprecated`,
    `${next}: sizes must not be empty`,
    'models[2] (gemini-3-pro-image): name must be of the type string',
  ])
})

test('two entries of one id are refused, also where they change a built-in model', () => {
  expect(read(known, known).problems).toEqual(['has two entries of the id gemini-3-pro-image'])
  expect(read(NEW, NEW).problems).toEqual(['has two entries of the id gemini-next'])
})

test('no fault shows a value: the file may be a secret one', () => {
  const canary = 'CANARY-7f3c'
  const entries = Object.keys(NEW).map((field) => ({ ...NEW, [field]: `${canary} ` }))
  expect(read(...entries).problems.join('\n')).not.toContain(canary)
  expect(readModels(`JWT_SECRET=${canary}`).problems.join('\n')).not.toContain(canary)
})
