import { MODELS, type Size } from '@nanobanana/shared'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type BilledTokens, priceMicros } from './price.ts'

const pricesOf = (id: string) => MODELS.find((model) => model.id === id)!.prices

test.each<[string, string, [input: number, text: number, image: number], usd: number]>([
  [
    '8 input and 1680 image tokens of a 2K picture',
    'gemini-nano-banana-2.1',
    [8, 0, 1680],
    0.050412,
  ],
  ['the same with text and thinking', 'gemini-nano-banana-2.1', [8, 337, 1680], 0.05294],
  ['a 1K picture alone', 'gemini-nano-banana-2.1', [0, 0, 1120], 0.0336],
  ['a 4K picture alone', 'gemini-nano-banana-2.1', [0, 0, 3780], 0.1134],
  ['a picture of the lite model', 'gemini-3.1-flash-lite-image', [4, 0, 1120], 0.033601],
  ['a 4K picture of the pro model', 'gemini-3-pro-image', [0, 0, 2000], 0.24],
  ['a small picture of the older flash', 'gemini-3.1-flash-image', [0, 0, 747], 0.04482],
  ['a picture of 2.5', 'gemini-2.5-flash-image', [0, 0, 1290], 0.0387],
  ['nothing', 'gemini-nano-banana-2.1', [0, 0, 0], 0],
])('%s of %s costs what the price page says', (_, model, [input, text, image], usd) => {
  const tokens = { inputTokens: input, textOutputTokens: text, imageOutputTokens: image }
  expect(priceMicros(tokens, pricesOf(model))).toBe(Math.round(usd * 1e6))
})

// Google's price page of 2026-10-09: US dollars of one image, rounded as published.
const PUBLISHED: readonly [model: string, size: Size, usd: string][] = [
  ['gemini-nano-banana-2.1', '1K', '0.0336'],
  ['gemini-nano-banana-2.1', '2K', '0.0504'],
  ['gemini-nano-banana-2.1', '4K', '0.1134'],
  ['gemini-3.1-flash-lite-image', '1K', '0.0336'],
  ['gemini-3-pro-image', '1K', '0.134'],
  ['gemini-3-pro-image', '2K', '0.134'],
  ['gemini-3-pro-image', '4K', '0.24'],
  ['gemini-3.1-flash-image', '512', '0.045'],
  ['gemini-3.1-flash-image', '1K', '0.067'],
  ['gemini-3.1-flash-image', '2K', '0.101'],
  ['gemini-3.1-flash-image', '4K', '0.151'],
  ['gemini-2.5-flash-image', '1K', '0.039'],
]

test.each(PUBLISHED)('one image of %s at %s costs %s dollars, as published', (id, size, usd) => {
  const { imageTokens, prices } = MODELS.find((model) => model.id === id)!
  const tokens = { inputTokens: 0, textOutputTokens: 0, imageOutputTokens: imageTokens[size]! }
  const decimals = usd.length - '0.'.length
  expect((priceMicros(tokens, prices) / 1e6).toFixed(decimals)).toBe(Number(usd).toFixed(decimals))
})

test('the published prices are those of every model and size', () => {
  const all = MODELS.flatMap(({ id, sizes }) => sizes.map((size) => `${id} ${size}`))
  expect(PUBLISHED.map(([id, size]) => `${id} ${size}`).toSorted()).toEqual(all.toSorted())
})

// By hand, in micro-dollars: input + text and thinking + image.
test.each<[string, [input: number, text: number, image: number], micros: number]>([
  ['gemini-nano-banana-2.1', [1000, 500, 3780], 1500 + 3750 + 113_400],
  ['gemini-3.1-flash-lite-image', [7, 3, 1120], 33_606], // 1.75 + 4.5 + 33600
  ['gemini-3-pro-image', [258, 700, 1120], 516 + 8400 + 134_400],
  ['gemini-3.1-flash-image', [9, 11, 747], 44_858], // 4.5 + 33 + 44820, half up
  ['gemini-2.5-flash-image', [10, 46, 1290], 3 + 115 + 38_700],
])('a call of %s that used %j tokens costs %i micro-dollars', (id, used, micros) => {
  const [inputTokens, textOutputTokens, imageOutputTokens] = used
  const tokens = { inputTokens, textOutputTokens, imageOutputTokens }
  expect(priceMicros(tokens, pricesOf(id))).toBe(micros)
})

test.each([
  [1, 1],
  [2, 1],
  [3, 2],
  [5, 3],
])('%i tokens at half a micro-dollar are rounded once, half up, to %i', (inputTokens, micros) => {
  const prices = {
    inputMicrosPerMillion: 500_000,
    textOutputMicrosPerMillion: 0,
    imageOutputMicrosPerMillion: 0,
  }
  const tokens = { inputTokens, textOutputTokens: 0, imageOutputTokens: 0 }
  expect(priceMicros(tokens, prices)).toBe(micros)
})

test('the three parts are added before the rounding', () => {
  const prices = {
    inputMicrosPerMillion: 250_000,
    textOutputMicrosPerMillion: 250_000,
    imageOutputMicrosPerMillion: 0,
  }
  expect(priceMicros({ inputTokens: 1, textOutputTokens: 1, imageOutputTokens: 9 }, prices)).toBe(1)
})

const count = fc.nat({ max: 2 ** 31 - 1 })
const tokens = fc.record({ inputTokens: count, textOutputTokens: count, imageOutputTokens: count })
const prices = fc.constantFrom(...MODELS).map((model) => model.prices)
const more = (one: BilledTokens, other: BilledTokens): BilledTokens => ({
  inputTokens: one.inputTokens + other.inputTokens,
  textOutputTokens: one.textOutputTokens + other.textOutputTokens,
  imageOutputTokens: one.imageOutputTokens + other.imageOutputTokens,
})

test('property: a price is a whole number of micro-dollars, never negative, exact', () => {
  fc.assert(
    fc.property(tokens, prices, (used, rates) => {
      const micros = priceMicros(used, rates)
      expect(Number.isSafeInteger(micros)).toBe(true)
      expect(micros).toBeGreaterThanOrEqual(0)
    }),
  )
})

test('property: more tokens never cost less, and splitting a call never saves more than a micro-dollar', () => {
  fc.assert(
    fc.property(tokens, tokens, prices, (one, other, rates) => {
      const [first, second] = [priceMicros(one, rates), priceMicros(other, rates)]
      const both = priceMicros(more(one, other), rates)
      expect(both).toBeGreaterThanOrEqual(Math.max(first, second))
      expect(Math.abs(both - first - second)).toBeLessThanOrEqual(1)
    }),
  )
})
